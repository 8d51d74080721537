// <plimsoll-upload>: the upload widget as one tag, on any page. Include it once, as a module:
//
//   <script type="module" src="https://files.example/upload-widget.js"></script>
//   <plimsoll-upload></plimsoll-upload>
//
// This file defines the element, and fetches the widget when the first one is on the page. Its attributes, properties,
// methods and events stand in upload-widget.d.ts. Must never decide what happens to a file, nor what an attribute
// means: the widget does. What is here is what only a class of JavaScript's own can be: an element, and a form control.

// The build writes the names of the files it made here, each with the hash of its content.
const GLUE = 'pkg/plimsoll.js';
const WASM = 'pkg/plimsoll.wasm';
const STYLE = 'pkg/widget.css';

const TEXTS = ['server', 'action', 'protocol', 'resumable', 'threshold', 'slice', 'field', 'accept', 'capture', 'max-size', 'max-total', 'max-files', 'concurrency', 'retries', 'progress', 'downscale'];
// Lines of `name: value`; as properties they may be objects. The widget also takes single pairs, exactly: `field:NAME`.
const LISTS = ['headers', 'fields'];
// The value is what holds when nothing is said.
const TRUTHS = { multiple: true, 'auto-start': true, dotfiles: true, thumbnails: true, guard: true, remember: true, directory: false, 'drop-anywhere': false, 'wake-lock': false, 'tab-title': false, digest: false, checksum: false, credentials: false };
// `labels` has no property: on a form control that is the list of its <label>s.
const SETTINGS = [...TEXTS, ...LISTS, ...Object.keys(TRUTHS), 'labels'];
const NAMES = ['aria-labelledby', 'aria-label'];
// The value of the attribute `disabled` where it was we who set it.
const OURS = 'plimsoll';
// The widget's own words come with it.
const SOON = 'Choose a file.';
const LATER = 'Some files are not stored yet.';
// Where the widget shows what nobody tells of: that it has come alive, its language, and whether something is under way.
const SIGNS = ['data-hydrated', 'lang', 'data-active', 'data-gathering'];

const here = (name) => new URL(name, import.meta.url).href;
// What is undefined is not there.
const pairs = (object) => Object.entries(object ?? {}).filter(([, value]) => value !== undefined && value !== null);
const flat = (object) => pairs(object).flatMap(([name, value]) => [name, String(value)]);

const had = async (name) => {
  const answer = await fetch(here(name));
  if (!answer.ok) throw new Error(`${answer.status} ${answer.url}`);
  return answer;
};
/** How often the script could be had, and not imported. */
let failures = 0;
// A script that could not be had once Firefox never asks for again under that name: it is imported when it can be had, and
// after a failure under another. The server does not see what is behind the sign.
const script = async () => {
  await (await had(GLUE)).text();
  return import(here(GLUE) + (failures ? `#${failures}` : '')).catch((error) => {
    failures += 1;
    throw error;
  });
};

let loading;
/** Fetches glue, WebAssembly and style side by side, once for the page; after a failure the next call tries again. */
function load() {
  loading ??= (async () => {
    const wasm = had(WASM);
    // Whichever fails first is what is told; the others must not be called unhandled.
    const [text, bundle] = await Promise.all([had(STYLE).then((answer) => answer.text()), script(), wasm]);
    await bundle.default({ module_or_path: wasm });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    // The page has it as well: the custom properties are inherited from its root, so that what the page says of them
    // goes before what we say.
    document.adoptedStyleSheets.unshift(sheet);
    return { bundle, sheet };
  })();
  loading.catch(() => (loading = undefined));
  return loading;
}

/** Milliseconds until it is asked for again: each pause is twice the one before. */
let pause = 500;
let next;
/** When all tags ask again: the network is back, somebody looks at the page again, or the pause is over; out of sight never. */
function again() {
  next ??= new Promise((go) => {
    const off = new AbortController();
    const over = () => {
      if (document.hidden) return;
      off.abort();
      clearTimeout(timer);
      next = undefined;
      go();
    };
    const timer = setTimeout(over, pause);
    pause = Math.min(2 * pause, 30_000);
    addEventListener('online', over, off);
    document.addEventListener('visibilitychange', over, off);
  });
  return next;
}

export class PlimsollUpload extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = [...SETTINGS, 'name', 'required', ...NAMES];

  #internals = this.attachInternals();
  /** The widget, while there is one, and what it was set up with. */
  #widget;
  #setup = '';
  #beginning = false;
  /** Whoever is around it may change the language. */
  #tongue = new MutationObserver(() => this.#widget?.speak());
  #signs = new MutationObserver(() => this.#heed());
  /** Files that were added before the widget came alive. */
  #early = [];
  /** What was set as an object, by the property's name, and the lines that its attribute shows of it. */
  #exact = {};
  /** Receipts of the stored files in the list, by the files' numbers; nothing in the place of what was taken off. */
  #stored = new Map();
  /** What the form was told that it would send; nothing when that has to be made anew. */
  #entries;
  /** Whether that was made anew in this very turn of the page. */
  #renewed;
  #beforeRequest;
  #readAnswer;
  /** What reads the answers, also after it was taken back, as long as the list needs it. */
  #reader;

  constructor() {
    super();
    // What was set on the tag before it was defined stands in the way of the properties.
    for (const name of Object.keys(this)) {
      if (!(name in PlimsollUpload.prototype)) continue;
      const value = this[name];
      delete this[name];
      // What can only be read was never a setting.
      if (Object.getOwnPropertyDescriptor(PlimsollUpload.prototype, name)?.set) this[name] = value;
    }
  }

  // --- What a page can read, set and do ---

  get type() {
    return this.localName;
  }

  get form() {
    return this.#internals.form;
  }

  get validity() {
    return this.#internals.validity;
  }

  get validationMessage() {
    return this.#internals.validationMessage;
  }

  get willValidate() {
    return this.#internals.willValidate;
  }

  checkValidity() {
    return this.#internals.checkValidity();
  }

  reportValidity() {
    return this.#internals.reportValidity();
  }

  /** What the rows show now. */
  get files() {
    return this.#widget?.files() ?? [];
  }

  /** Receipts of the stored files in the list, in the order they were stored. */
  get receipts() {
    return [...this.#stored.values()].filter(Boolean);
  }

  /** What the form would send, as one text. */
  get value() {
    return this.receipts.map(worth).filter(Boolean).join(' ');
  }

  /** Whether something in the list, or on its way there, has not ended. */
  get busy() {
    return this.#early.length > 0 || (this.#widget?.busy() ?? false);
  }

  get headers() {
    return this.getAttribute('headers') ?? '';
  }

  set headers(headers) {
    this.#list('headers', headers);
  }

  get fields() {
    return this.getAttribute('fields') ?? '';
  }

  set fields(fields) {
    this.#list('fields', fields);
  }

  // As the browser sees it: whatever the attribute says.
  get disabled() {
    return this.hasAttribute('disabled');
  }

  set disabled(disabled) {
    this.toggleAttribute('disabled', !!disabled);
  }

  get beforeRequest() {
    return this.#beforeRequest;
  }

  set beforeRequest(ask) {
    this.#beforeRequest = ask;
    this.#begin();
  }

  get readAnswer() {
    return this.#readAnswer;
  }

  set readAnswer(read) {
    this.#readAnswer = read;
    this.#reader = read ?? this.#reader;
    this.#begin();
  }

  /** Takes files as if a person had picked them; those that come before the widget wait for it. */
  add(files) {
    const input = this.shadowRoot?.querySelector('[data-hydrated] [data-pl-input]');
    if (input) {
      const list = new DataTransfer();
      for (const file of files) list.items.add(file);
      input.files = list.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));
    } else {
      this.#early.push(...files);
    }
    this.#weigh();
  }

  // Each takes the number of a file, or none for all.

  start(id) {
    this.#act('start', id);
  }

  pause(id) {
    this.#act('pause', id);
  }

  resume(id) {
    this.#act('resume', id);
  }

  retry(id) {
    this.#act('retry', id);
  }

  cancel(id) {
    this.#act('cancel', id);
  }

  /** Takes a file off the list, or all that have ended. (`remove` is every element's own, and takes that away.) */
  clear(id) {
    this.#act('remove', id);
    // After all were taken off nothing comes back.
    if (id === undefined && !this.receipts.length) this.#stored.clear();
  }

  focus(options) {
    this.#input()?.focus(options);
  }

  // --- What the browser tells ---

  connectedCallback() {
    this.connectedMoveCallback();
    this.#begin();
  }

  /** Moving it is not removing it; but another language may be spoken there, and another label name it. */
  connectedMoveCallback() {
    if (!this.#widget) return;
    this.#widget.speak();
    this.#listen();
    this.#call();
  }

  disconnectedCallback() {
    // What moves an element takes it out and puts it in again at once.
    setTimeout(() => this.isConnected || this.#end());
  }

  attributeChangedCallback(name, old, value) {
    if (old === value) return;
    if (name === 'name') this.#entries = this.#renewed = undefined;
    this.#weigh();
    this.#call();
    // All that a script changes in one go is one change.
    queueMicrotask(() => this.#begin());
  }

  formDisabledCallback(disabled) {
    const frame = this.shadowRoot?.querySelector('fieldset');
    if (frame) frame.disabled = disabled;
  }

  formResetCallback() {
    this.#early = [];
    this.cancel();
    this.clear();
  }

  // --- The widget ---

  /** Puts the widget up, or up anew when its settings have changed and its list is empty. */
  async #begin() {
    if (this.#beginning || !this.isConnected) return;
    this.#beginning = true;
    try {
      const loaded = this.#loaded();
      // What is inside the tag may still be on its way.
      if (document.readyState === 'loading') await new Promise((parsed) => document.addEventListener('DOMContentLoaded', parsed, { once: true }));
      const { bundle, sheet } = (await loaded) ?? {};
      if (!bundle) return;
      const settings = this.#settings();
      const setup = JSON.stringify([settings, !!this.#beforeRequest, !!this.#readAnswer]);
      if (!this.isConnected || setup === this.#setup || (this.#widget && (this.files.length || this.busy))) return;
      const frame = document.createElement('fieldset');
      frame.className = 'pl-tag';
      frame.setAttribute('part', 'base');
      frame.disabled = this.matches(':disabled');
      // Told once, not again with every other attribute that changes.
      this.#setup = setup;
      const read = this.#readAnswer && ((...answer) => this.#read(answer));
      const widget = new bundle.UploadElement(frame, settings, here('.'), (kind, detail) => this.#hear(kind, detail), !!this.#beforeRequest, read);
      this.#widget?.free();
      this.#widget = widget;
      // It counts its files from the beginning again.
      this.#stored.clear();
      // Where the focus goes is delegated, or else Firefox would not show what is wrong with the control.
      const root = this.shadowRoot ?? this.attachShadow({ mode: 'open', delegatesFocus: true });
      root.adoptedStyleSheets = [sheet];
      root.replaceChildren(frame);
      this.#signs.disconnect();
      for (const part of frame.querySelectorAll('form, [data-pl-total]')) this.#signs.observe(part, { attributeFilter: SIGNS });
      this.#listen();
      this.#call();
      this.#adopt();
      this.#weigh();
    } catch (error) {
      for (const reason of [error].flat()) this.#complain(reason);
    } finally {
      this.#beginning = false;
    }
  }

  /** What was loaded; nothing once the tag is gone. Until it can be had, what is inside the tag stays usable. */
  async #loaded() {
    for (let said; this.isConnected; await again()) {
      try {
        return await load();
      } catch (error) {
        // Once, however often it is so, and under whichever name.
        const why = error.message.replace(/#\d+/, '');
        if (said !== why) this.#complain(why);
        // What came whole twice and is no script, or no WebAssembly, is none at another time either.
        else if (error instanceof SyntaxError || error instanceof WebAssembly.CompileError) return undefined;
        said = why;
      }
    }
    return undefined;
  }

  #end() {
    this.#tongue.disconnect();
    this.#signs.disconnect();
    this.#widget?.free();
    this.#widget = undefined;
    this.#setup = '';
    this.shadowRoot?.replaceChildren();
    this.#stored.clear();
    this.#early = [];
    this.#entries = this.#renewed = undefined;
    this.#weigh();
  }

  /** The widget has come alive, speaks another language, or has something to do, or nothing more. */
  #heed() {
    if (this.#early.length) this.add(this.#early.splice(0));
    this.#weigh();
    // Settings that have changed meanwhile have waited for this, where nothing was found.
    if (!this.busy) this.#begin();
  }

  #act(what, id) {
    this.#widget?.act(what, id);
    this.#renewed = false;
    this.#weigh();
  }

  /** Follows the language of what it is in, through all shadow roots. */
  #listen() {
    this.#tongue.disconnect();
    for (let root = this.getRootNode(); root; root = root.host?.getRootNode()) this.#tongue.observe(root, { subtree: true, attributeFilter: ['lang'] });
  }

  /** Names the group of all its controls as the page names the tag, which is what people hear first. */
  #call() {
    const frame = this.shadowRoot?.querySelector('fieldset');
    if (!frame) return;
    const [by, own] = NAMES.map((name) => this.getAttribute(name));
    const named = by ? by.split(/\s+/).map((id) => this.getRootNode().getElementById?.(id)) : own ? [] : [...this.#internals.labels];
    // A label around the tag has in it what was inside of the tag.
    const words = named.map((label) => label?.textContent.replace(label.contains(this) ? this.textContent : '', '').trim());
    frame.ariaLabel = words.filter(Boolean).join(' ') || own;
  }

  /** Names and values of all that sets the widget up, one after the other. */
  #settings() {
    const said = new Map();
    const say = (name, value) => value && said.set(name, value);
    // A form inside the tag has said most of it already.
    const form = this.querySelector('form');
    const input = this.#fallback();
    // Without an address a form is sent to its own page; but where our server is named, there.
    say('action', form && (form.getAttribute('action') || (!this.server && document.URL.split('#')[0])));
    if (input) {
      say('field', input.name);
      say('accept', input.accept);
      if (input.webkitdirectory) said.set('directory', '');
      else if (!input.multiple) said.set('multiple', 'false');
      // Without a word of its own it is the camera for what is before one.
      if (input.hasAttribute('capture')) said.set('capture', /^user$/i.test(input.getAttribute('capture')) ? 'user' : 'environment');
    }
    // As a form has it: what is disabled, not by us, is not sent, nor what has no name.
    const hidden = [...this.querySelectorAll(`input[type=hidden]:is(:not([disabled]), [disabled=${OURS}])`)];
    const sent = hidden.filter((input) => input.name && !this.contains(input.closest('fieldset[disabled]')));
    const exact = sent.map(({ name, value }) => [`field:${name}`, value]);
    // The tag itself has the last word.
    for (const name of SETTINGS) if (this.hasAttribute(name)) said.set(name, this.getAttribute(name));
    for (const name of LISTS) {
      const { lines, list } = this.#exact[name] ?? {};
      // An attribute that was written since is the newer word.
      if (!list || lines !== this[name]) continue;
      said.delete(name);
      exact.push(...list.map(([key, value]) => [`${name.slice(0, -1)}:${key}`, String(value)]));
    }
    return [...exact, ...said].flat();
  }

  /** Sets a list: by lines, or by an object, whose names and values its attribute only shows. */
  #list(name, value) {
    const list = typeof value === 'object' ? pairs(value) : undefined;
    const lines = list ? list.map((pair) => pair.join(': ')).join('\n') : String(value ?? '');
    this.#exact[name] = { lines, list };
    if (lines) this.setAttribute(name, lines);
    else this.removeAttribute(name);
    // Other pairs may look the same.
    this.#begin();
  }

  /** The widget's own file input. */
  #input() {
    return this.shadowRoot?.querySelector('[data-pl-input]');
  }

  /** The file input inside the tag. */
  #fallback() {
    return this.querySelector('input[type=file]');
  }

  /** Takes over from what was inside the tag until now: its files; and it takes no part in any form any more. */
  #adopt() {
    const picked = this.#fallback();
    this.#early.unshift(...(picked?.files ?? []));
    for (const control of this.querySelectorAll('input, button, select, textarea')) if (!control.disabled) control.setAttribute('disabled', OURS);
    if (picked) picked.value = '';
  }

  /** What the widget tells and asks. */
  #hear(kind, detail) {
    if (kind === 'before-upload') return this.#beforeUpload(detail.file);
    if (kind === 'before-request') return this.#extra(detail);
    if (kind === 'wrong') return this.#complain(`labels="${detail}" is not the key of a text`);
    if (kind === 'stored') this.#keep(detail.file.id, detail.receipt);
    // What comes back finds its place again.
    if (kind === 'removed' && this.#stored.has(detail.file.id)) this.#place(detail.file.id, undefined);
    if (kind === 'restored' && detail.receipt) this.#place(detail.file.id, detail.receipt);
    if (kind !== 'progress') this.#weigh();
    this.#tell(kind, detail);
    // Settings that have changed meanwhile have waited for an empty list.
    if (kind === 'removed' || kind === 'waiting') queueMicrotask(() => this.#begin());
    return undefined;
  }

  #tell(kind, detail, cancelable = false) {
    return this.dispatchEvent(new CustomEvent(`plimsoll-${kind}`, { detail, bubbles: true, composed: true, cancelable }));
  }

  #beforeUpload(file) {
    let refuse, name;
    const waits = [];
    const detail = {
      file,
      fields: {},
      rename: (other) => (name = String(other)),
      refuse: (reason = '') => (refuse = String(reason)),
      waitUntil: (promise) => waits.push(promise),
    };
    if (!this.#tell('before-upload', detail, true)) refuse ??= '';
    const answer = () => ({ refuse, name, fields: flat(detail.fields) });
    return waits.length ? Promise.all(waits).then(answer) : answer();
  }

  async #extra({ file, again }) {
    const { headers, fields } = (await this.#beforeRequest?.(file, again)) ?? {};
    return { headers: flat(headers), fields: flat(fields) };
  }

  #read(answer) {
    const said = this.#reader(...answer);
    if (typeof said?.then !== 'function') return said;
    const error = new TypeError('readAnswer answered with a promise.');
    this.#complain(error);
    throw error;
  }

  #complain(reason) {
    const message = reason?.message ?? String(reason);
    console.error(`<plimsoll-upload>: ${message}`, this);
    this.#tell('error', { message });
  }

  // --- The form around it ---

  /** Says what the form would send, and whether it may be sent. */
  #weigh() {
    const busy = this.busy;
    const fallback = this.#fallback();
    const required = this.hasAttribute('required') ? this.required : fallback?.required;
    // What was in the tag stands for itself as long as it is there.
    const missing = !busy && required && (this.#widget || !fallback) && !this.receipts.length;
    if (busy || missing) {
      const why = this.#widget?.why(busy) || (busy ? LATER : SOON);
      const anchor = this.#input() ?? fallback;
      this.#internals.setValidity({ customError: busy, valueMissing: !busy }, why, ...(anchor ? [anchor] : []));
    } else {
      this.#internals.setValidity({});
    }
    // Anew once in a turn, and then when it is over: of thousands that are taken off at once each would cost all others.
    if (this.#entries || this.#renewed) return;
    this.#entries = new FormData();
    for (const receipt of this.receipts) this.#enter(receipt);
    this.#internals.setFormValue(this.#entries);
    this.#renewed = true;
    queueMicrotask(() => {
      this.#renewed = false;
      this.#weigh();
    });
  }

  /** A file is stored: it is the last of them. */
  #keep(id, receipt) {
    this.#stored.set(id, receipt);
    if (!this.#entries) return;
    this.#enter(receipt);
    this.#internals.setFormValue(this.#entries);
  }

  /** A stored file has left the list, or is back in it. */
  #place(id, receipt) {
    this.#stored.set(id, receipt);
    this.#entries = undefined;
  }

  #enter(receipt) {
    if (this.name && worth(receipt)) this.#entries.append(this.name, worth(receipt));
  }
}

/** What stands for a stored file: its id, or the address that another server has told, if it has. */
const worth = ({ id, url }) => id ?? url;

/** Properties that are attributes: texts as they are, truths with what holds when nothing is said. */
const reflect = (name, get, set) => {
  const property = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  Object.defineProperty(PlimsollUpload.prototype, property, { configurable: true, enumerable: true, get, set });
};
for (const name of [...TEXTS, 'name']) {
  reflect(
    name,
    function () {
      return this.getAttribute(name) ?? '';
    },
    function (value) {
      const text = String(value ?? '');
      if (text) this.setAttribute(name, text);
      else this.removeAttribute(name);
    },
  );
}
for (const [name, byDefault] of Object.entries({ ...TRUTHS, required: false })) {
  reflect(
    name,
    function () {
      const value = this.getAttribute(name);
      return value === null ? byDefault : value !== 'false';
    },
    function (value) {
      // What is set to undefined is taken back.
      if (!(value ?? byDefault) === !byDefault) this.removeAttribute(name);
      else this.setAttribute(name, value ? '' : 'false');
    },
  );
}

customElements.get('plimsoll-upload') ?? customElements.define('plimsoll-upload', PlimsollUpload);
