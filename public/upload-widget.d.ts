// Types of <plimsoll-upload>: its attributes, properties, methods and events. Everything here is promised; what is not
// here may change.

/** A file, as events tell of it. */
export interface PlimsollFile {
  /** Its number in this widget: what the methods take. */
  readonly id: number;
  /** Its name, as it is sent. */
  readonly name: string;
  /** Its path inside the folder that was picked, with `/`; empty for a single file. */
  readonly path: string;
  /** Bytes, as it is sent. */
  readonly size: number;
  /** Bytes of the picture that was picked, where `downscale` has made it smaller. */
  readonly originalSize?: number;
  /** Media type as the browser guesses it; may be empty. */
  readonly type: string;
  /**
   * SHA-256 as the browser computed it, in lowercase hexadecimal digits: where `checksum` is set, in `plimsoll-stored`
   * and later. Where the receipt has one as well they are equal, or else the file would have failed (`digest-mismatch`).
   */
  readonly sha256?: string;
}

/** A row of the list, as it stands. */
export interface PlimsollRow extends Omit<PlimsollFile, 'type' | 'sha256' | 'originalSize'> {
  /** Where it stands: `queued`, `sending`, `processing`, `waiting`, `paused`, `missing`, `done`, `failed`, `cancelled`, `rejected`, … */
  readonly state: string;
  /** Bytes that the browser has handed over. */
  readonly sent: number;
  /** Bytes that the server has counted. */
  readonly received: number;
  /** What the bar shows, 0 to 100; 100 only when the file is stored. */
  readonly percent: number;
  readonly error?: PlimsollError;
  readonly receipt?: PlimsollReceipt;
}

/** What the server has said of a stored file. */
export interface PlimsollReceipt {
  /** The server's name for it; absent where another server has none of our kind. */
  readonly id?: string;
  readonly name: string;
  /** Its path inside the folder that was picked; empty for a single file. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly media_type: string;
  /** Lowercase hexadecimal digits, where a digest was asked for. */
  readonly sha256?: string;
  /** Milliseconds since 1970. */
  readonly stored_ms: number;
  /** Where it can be fetched; empty where the server told no address. */
  readonly url: string;
  /** What was sent along, names and values. */
  readonly fields: readonly (readonly [string, string])[];
  /** `stored`: the server said what it stored; `accepted`: it only answered with success. */
  readonly proof: 'stored' | 'accepted';
}

/** Why a file was refused or failed. */
export interface PlimsollError {
  /** One of the server's codes, such as `too-large`, or `network`. */
  readonly code: string;
  /** A sentence for a person; may be empty, then the code says it all. */
  readonly message: string;
  /** Whether trying again can help. */
  readonly retryable: boolean;
  readonly detail?: string;
}

type OfFile = { readonly file: PlimsollFile };

/** What a listener to `plimsoll-before-upload` can decide. `preventDefault()` refuses as well. */
export interface PlimsollBeforeUpload extends OfFile {
  /** Further fields: before the file in its form, or metadata of its resumable upload: names in ASCII without spaces and commas. */
  readonly fields: Record<string, string>;
  /** Sends it under another name. */
  rename(name: string): void;
  /** Does not send it, for this reason, which is shown. */
  refuse(reason?: string): void;
  /** Waits for this before it is sent; when it fails, the file is refused with its message. */
  waitUntil(promise: PromiseLike<unknown>): void;
}

/** All events; they bubble and leave shadow roots. */
export interface PlimsollEventMap {
  /**
   * Files were handed over before everything that works on files had loaded: so many wait, in their order, and are then
   * told of one by one; 0 once none waits any more. Until then the tag is `busy`, and a form around it is not sent.
   */
  'plimsoll-waiting': CustomEvent<{ readonly files: number }>;
  /** A file has entered the list. */
  'plimsoll-added': CustomEvent<OfFile>;
  /** It will not be sent: rules of the widget, limits of the server, or the page forbid it. */
  'plimsoll-rejected': CustomEvent<OfFile & { readonly error: PlimsollError }>;
  /**
   * Asked once for each file, before its first request; again only where that was not made, because `beforeRequest`
   * failed. Cancelable.
   */
  'plimsoll-before-upload': CustomEvent<PlimsollBeforeUpload>;
  /** Its first request is on its way. */
  'plimsoll-started': CustomEvent<OfFile>;
  /** Bytes that the browser has handed over, and bytes that the server has counted. */
  'plimsoll-progress': CustomEvent<OfFile & { readonly sent: number; readonly received: number }>;
  /** The server has said that it is stored. */
  'plimsoll-stored': CustomEvent<OfFile & { readonly receipt: PlimsollReceipt }>;
  'plimsoll-failed': CustomEvent<OfFile & { readonly error: PlimsollError }>;
  'plimsoll-paused': CustomEvent<OfFile>;
  'plimsoll-resumed': CustomEvent<OfFile>;
  'plimsoll-cancelled': CustomEvent<OfFile>;
  /** It was taken off the list, and out of the form's value. */
  'plimsoll-removed': CustomEvent<OfFile>;
  /** A person has taken it off and brought it back, and with it its place among the receipts and in the form's value. */
  'plimsoll-restored': CustomEvent<OfFile & { readonly receipt: PlimsollReceipt | null }>;
  /** Nothing is left to do: so many are stored, so many are not. */
  'plimsoll-ended': CustomEvent<{ readonly done: number; readonly failed: number }>;
  /** Something is wrong with the tag itself: an attribute that cannot be read, a part that does not load. */
  'plimsoll-error': CustomEvent<{ readonly message: string }>;
}

/**
 * Headers and fields of one request; they take the place of what attributes, and hidden fields of a form inside the tag,
 * say under the same names. What is `undefined` is not there.
 */
export interface PlimsollExtra {
  headers?: Record<string, string | undefined>;
  fields?: Record<string, string | undefined>;
}

/** What `readAnswer` makes of another server's answer. */
export interface PlimsollAnswer {
  /** Where the file can be fetched: what a form around the tag sends. Without it the form sends nothing for this file. */
  url?: string;
  name?: string;
  /** Bytes, where the server has said how many it stored: then it counts as stored, else as accepted. */
  size?: number;
  sha256?: string;
}

/**
 * `<plimsoll-upload>`: the upload widget as a form control.
 *
 * Attributes are the properties in kebab-case; a value that cannot be read is told by `plimsoll-error` and on the
 * console, and the tag keeps what it has inside. A change takes effect at once while the list is empty, else as soon
 * as it is. A form inside the tag is used until the widget has loaded; then its address (without one, that of the page,
 * unless `server` is said), the name of its file input and what that asks for (`accept`, `capture`, `multiple`,
 * `required`, `webkitdirectory`), its hidden fields (exactly; none that is disabled), and the files picked in it are taken
 * over. What could not be loaded is asked for again: when the network is back, when somebody looks at the page again, and
 * after pauses that grow.
 *
 * As a part of a form it sends, under its `name`, the id of each stored file in the list (of another server: its
 * address, if that was told). It is invalid while something has not ended or is on its way into the list, and while it
 * is `required` and nothing is stored. Nothing is restored when a page is opened again: what is not in the list is not
 * sent.
 *
 * A property that is set to `undefined` is what it was when nothing was said.
 *
 * Moving it keeps its uploads; taking it out of the page ends them, without events, and empties its list.
 */
export class PlimsollUpload extends HTMLElement {
  /** Address of a Plimsoll server; where the script came from, unless said. */
  server: string;
  /** Where forms are posted to. Without `server` that is somebody's own endpoint: all files go there as forms. */
  action: string;
  /** `auto`, `form`, `resumable` or `tus`. */
  protocol: string;
  /** Where resumable uploads are created. */
  resumable: string;
  /** Size from which `auto` makes an upload resumable, such as `8MiB`. */
  threshold: string;
  /** Most bytes in one request of a resumable upload. */
  slice: string;
  /** Name of the form field that carries a file. */
  field: string;
  /** As in `<input accept>`. */
  accept: string;
  /** On a phone: the camera in front (`user`) or behind (`environment`). */
  capture: string;
  /** Largest file, such as `10MB`. */
  maxSize: string | number;
  /** Most bytes of all files together that are stored or may be. */
  maxTotal: string | number;
  maxFiles: string | number;
  /** Uploads at one time, 1 to 4. */
  concurrency: string | number;
  /** How often a failed request is tried again by itself. */
  retries: string | number;
  /** Where the server's own count is asked for, and in which words: `/progress; dialect=nginx` (`django`, `plimsoll`). */
  progress: string;
  /** Longest side of pictures, in pixels: larger ones are made smaller before they are sent, and lose time and place. */
  downscale: string | number;
  /** Headers of each request: lines of `name: value`, or an object, whose names and values are taken exactly. */
  get headers(): string;
  set headers(headers: string | Record<string, string | undefined> | undefined);
  /** Fields of each file: lines of `name: value`, or an object, whose names and values are taken exactly. */
  get fields(): string;
  set fields(fields: string | Record<string, string | undefined> | undefined);
  /** Whether several files may be picked; true unless said. */
  multiple: boolean;
  /** Whether there is a button for a folder. */
  directory: boolean;
  /** Whether files whose names begin with a dot are taken from folders; true unless said. */
  dotfiles: boolean;
  /** Whether files may be dropped anywhere on the page. */
  dropAnywhere: boolean;
  /** Whether rows of images and videos show small pictures of them; true unless said. A content security policy needs `img-src blob:` for them, and `media-src blob:` for videos. */
  thumbnails: boolean;
  /** Whether a person is asked before leaving the page with uploads under way; true unless said. */
  guard: boolean;
  /** Whether the screen is kept on while something is sent. */
  wakeLock: boolean;
  /** Whether title and icon of the page's tab show how far the uploads are. A content security policy needs `img-src blob:` for the icon. */
  tabTitle: boolean;
  /** Whether sending starts as soon as files are picked; true unless said. */
  autoStart: boolean;
  /** Whether unfinished uploads are remembered beyond the page; true unless said. */
  remember: boolean;
  /** Whether the server is asked for the SHA-256 of what it stored. */
  digest: boolean;
  /** Whether the browser computes it as well, beside the sending, and a file counts as stored only when both agree. */
  checksum: boolean;
  /** Whether cookies go along to another site. */
  credentials: boolean;

  /** Under which the form sends what is stored. */
  name: string;
  required: boolean;
  /** As of every control: the attribute disables it whatever it says. */
  disabled: boolean;
  readonly type: 'plimsoll-upload';
  readonly form: HTMLFormElement | null;
  readonly validity: ValidityState;
  readonly validationMessage: string;
  readonly willValidate: boolean;
  checkValidity(): boolean;
  reportValidity(): boolean;

  /** The rows, as they stand. */
  readonly files: PlimsollRow[];
  /** Receipts of the stored files in the list, in the order they were stored; also of those that were taken off and brought back. */
  readonly receipts: PlimsollReceipt[];
  /** What the form would send, with spaces between. */
  readonly value: string;
  /** Whether something in the list, or on its way there, has not ended. */
  readonly busy: boolean;

  /**
   * Asked right before each request, and once more (`again`) when the server has refused one with 401 or 403, or (where
   * there is no `readAnswer`) led it to where one signs in. Questions for the server's count go with the headers of the
   * newest request. When it fails the request is not made, and this try has failed with its message; another follows by
   * itself, as after a connection that broke, unless what it threw has `retryable: false`.
   */
  beforeRequest?: (file: PlimsollFile, again: boolean) => PlimsollExtra | undefined | PromiseLike<PlimsollExtra | undefined>;
  /**
   * Reads another server's answer to a form, of whatever status, at once: a promise is refused, and the file has failed.
   * `url` is where the answer came from, redirects followed. What it throws is why the file failed (`retryable` says
   * whether trying again can help; a person can try again in any case).
   *
   * With it nobody else looks at the answer, so it has to know also a page where one signs in, to which the request may
   * have been led. Without it every status from 200 to 299 means that the file was taken, pages too; but a page to which
   * the request was led, and which has the form's address in its query to send people back there, means that one is not
   * signed in.
   */
  readAnswer?: (status: number, text: string, url: string) => PlimsollAnswer;

  /** Takes files as if a person had picked them. */
  add(files: Iterable<File>): void;
  /** Starts what waits for it (`auto-start="false"`); one file, or all. */
  start(id?: number): void;
  pause(id?: number): void;
  resume(id?: number): void;
  retry(id?: number): void;
  cancel(id?: number): void;
  /** Takes a file off the list, or all that have ended. */
  clear(id?: number): void;

  addEventListener<K extends keyof PlimsollEventMap>(type: K, listener: (this: PlimsollUpload, event: PlimsollEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener<K extends keyof HTMLElementEventMap>(type: K, listener: (this: PlimsollUpload, event: HTMLElementEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof PlimsollEventMap>(type: K, listener: (this: PlimsollUpload, event: PlimsollEventMap[K]) => unknown, options?: boolean | EventListenerOptions): void;
  removeEventListener<K extends keyof HTMLElementEventMap>(type: K, listener: (this: PlimsollUpload, event: HTMLElementEventMap[K]) => unknown, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
}

/** For JSX: attributes, properties and listeners (`onplimsoll-stored`) of the tag. */
export type PlimsollUploadProps = Partial<
  Pick<
    PlimsollUpload,
    | 'server' | 'action' | 'protocol' | 'resumable' | 'threshold' | 'slice' | 'field' | 'accept' | 'capture' | 'maxSize' | 'maxTotal' | 'maxFiles' | 'concurrency' | 'retries'
    | 'progress' | 'downscale' | 'directory' | 'dotfiles' | 'dropAnywhere' | 'thumbnails' | 'guard' | 'wakeLock' | 'tabTitle' | 'multiple' | 'autoStart' | 'remember' | 'digest' | 'checksum' | 'credentials' | 'name' | 'required' | 'disabled' | 'beforeRequest'
    | 'readAnswer' | 'lang'
  >
> & {
  headers?: string | Record<string, string | undefined>;
  fields?: string | Record<string, string | undefined>;
  /** Words in place of the widget's own: lines of `key: text`. */
  labels?: string;
} & { [K in keyof PlimsollEventMap as `on${K}`]?: (event: PlimsollEventMap[K]) => void };

declare global {
  interface HTMLElementTagNameMap {
    'plimsoll-upload': PlimsollUpload;
  }
  interface DocumentEventMap extends PlimsollEventMap {}
}
