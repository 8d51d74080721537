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
// Lines of `name: value`; as properties they may be objects.
const LISTS = ['headers', 'fields'];
// The value is what holds when nothing is said.
const TRUTHS = { multiple: true, 'auto-start': true, dotfiles: true, thumbnails: true, guard: true, remember: true, directory: false, 'drop-anywhere': false, 'wake-lock': false, 'tab-title': false, digest: false, checksum: false, credentials: false };
// `labels` has no property: on a form control that is the list of its <label>s.
const SETTINGS = [...TEXTS, ...LISTS, ...Object.keys(TRUTHS), 'labels'];
const NAMES = ['aria-labelledby', 'aria-label'];
// The widget's own words come with it.
const SOON = 'Choose a file.';

const here = (name) => new URL(name, import.meta.url).href;
const pairs = (object) => Object.entries(object ?? {});
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
  /** Files that were added before there was a widget. */
  #early = [];
  /** Receipts of the stored files in the list, by the files' numbers. */
  #stored = new Map();
  #beforeRequest;
  #readAnswer;

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
    return [...this.#stored.values()];
  }

  /** What the form would send, as one text. */
  get value() {
    return this.receipts.map(worth).join(' ');
  }

  /** Whether something in the list has not ended. */
  get busy() {
    return this.#widget?.busy() ?? false;
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
    this.#begin();
  }

  /** Takes files as if a person had picked them; those that come before the widget wait for it. */
  add(files) {
    const input = this.shadowRoot?.querySelector('[data-pl-input]');
    if (!input) {
      this.#early.push(...files);
      return;
    }
    const list = new DataTransfer();
    // What it holds was added a moment ago, before the widget came alive.
    for (const file of [...input.files, ...files]) list.items.add(file);
    input.files = list.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }

  // Each takes the number of a file, or none for all.

  start(id) {
    this.#widget?.act('start', id);
  }

  pause(id) {
    this.#widget?.act('pause', id);
  }

  resume(id) {
    this.#widget?.act('resume', id);
  }

  retry(id) {
    this.#widget?.act('retry', id);
  }

  cancel(id) {
    this.#widget?.act('cancel', id);
  }

  /** Takes a file off the list, or all that have ended. (`remove` is every element's own, and takes that away.) */
  clear(id) {
    this.#widget?.act('remove', id);
  }

  focus(options) {
    this.shadowRoot?.querySelector('[data-pl-input]')?.focus(options);
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
      const read = this.#readAnswer && ((...answer) => this.#readAnswer(...answer));
      const widget = new bundle.UploadElement(frame, settings, here('.'), (kind, detail) => this.#hear(kind, detail), !!this.#beforeRequest, read);
      this.#widget?.free();
      this.#widget = widget;
      // Where the focus goes is delegated, or else Firefox would not show what is wrong with the control.
      const root = this.shadowRoot ?? this.attachShadow({ mode: 'open', delegatesFocus: true });
      root.adoptedStyleSheets = [sheet];
      root.replaceChildren(frame);
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
    this.#widget?.free();
    this.#widget = undefined;
    this.#setup = '';
    this.shadowRoot?.replaceChildren();
    this.#stored.clear();
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
    const hidden = [...this.querySelectorAll('input[type=hidden][name]')].map(({ name, value }) => `${name}: ${value}`);
    // The tag itself has the last word.
    for (const name of SETTINGS) if (this.hasAttribute(name)) said.set(name, this.getAttribute(name));
    say('fields', [...hidden, said.get('fields')].filter(Boolean).join('\n'));
    return [...said].flat();
  }

  /** The file input inside the tag. */
  #fallback() {
    return this.querySelector('input[type=file]');
  }

  /** Takes over from what was inside the tag until now: its files; and it takes no part in any form any more. */
  #adopt() {
    const files = [...(this.#fallback()?.files ?? []), ...this.#early.splice(0)];
    for (const control of this.querySelectorAll('input, button, select, textarea')) control.disabled = true;
    const picked = this.#fallback();
    if (picked) picked.value = '';
    if (files.length) this.add(files);
  }

  /** What the widget tells and asks. */
  #hear(kind, detail) {
    if (kind === 'before-upload') return this.#beforeUpload(detail.file);
    if (kind === 'before-request') return this.#extra(detail);
    if (kind === 'wrong') return this.#complain(`labels="${detail}" is not the key of a text`);
    if (kind === 'stored') this.#stored.set(detail.file.id, detail.receipt);
    if (kind === 'removed') this.#stored.delete(detail.file.id);
    if (kind === 'restored' && detail.receipt) this.#stored.set(detail.file.id, detail.receipt);
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
    try {
      const { headers, fields } = (await this.#beforeRequest?.(file, again)) ?? {};
      return { headers: flat(headers), fields: flat(fields) };
    } catch (error) {
      this.#complain(error);
      throw error;
    }
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
    const required = this.hasAttribute('required') ? this.required : this.#fallback()?.required;
    const missing = required && !this.#stored.size;
    // What was in the tag stands for itself as long as it is there.
    const waits = !this.#widget && this.#fallback();
    const anchor = this.shadowRoot?.querySelector('[data-pl-input]');
    if ((busy || missing) && !waits) {
      const why = this.#widget?.why(busy) ?? SOON;
      this.#internals.setValidity({ customError: busy, valueMissing: !busy }, why, ...(anchor ? [anchor] : []));
    } else {
      this.#internals.setValidity({});
    }
    // While it is busy nothing is sent.
    if (busy && this.#widget) return;
    const entries = new FormData();
    if (this.name) for (const receipt of this.receipts) entries.append(this.name, worth(receipt));
    this.#internals.setFormValue(entries);
  }
}

/** What stands for a stored file: its id, or the address that another server has told. */
const worth = ({ id, url }) => id ?? url;

/** Properties that are attributes: texts as they are, truths with what holds when nothing is said. */
const reflect = (name, get, set) => {
  const property = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  Object.defineProperty(PlimsollUpload.prototype, property, { configurable: true, enumerable: true, get, set });
};
for (const name of [...TEXTS, ...LISTS, 'name']) {
  reflect(
    name,
    function () {
      return this.getAttribute(name) ?? '';
    },
    function (value) {
      const text = typeof value === 'object' ? pairs(value).map((pair) => pair.join(': ')).join('\n') : String(value ?? '');
      if (text) this.setAttribute(name, text);
      else this.removeAttribute(name);
    },
  );
}
for (const [name, byDefault] of Object.entries({ ...TRUTHS, required: false, disabled: false })) {
  reflect(
    name,
    function () {
      const value = this.getAttribute(name);
      return value === null ? byDefault : value !== 'false';
    },
    function (value) {
      if (!value === !byDefault) this.removeAttribute(name);
      else this.setAttribute(name, value ? '' : 'false');
    },
  );
}

customElements.get('plimsoll-upload') ?? customElements.define('plimsoll-upload', PlimsollUpload);
