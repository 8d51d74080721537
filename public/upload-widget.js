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

const TEXTS = ['server', 'action', 'protocol', 'resumable', 'threshold', 'slice', 'field', 'accept', 'max-files', 'concurrency', 'retries', 'progress'];
// Those that are true when nothing is said have a plus.
const TRUTHS = ['multiple+', 'auto-start+', 'digest'];
const FORMS = ['name', 'required', 'disabled'];
const truths = new Map(TRUTHS.map((name) => [name.replace('+', ''), name.endsWith('+')]));
const SETTINGS = [...TEXTS, ...truths.keys()];

const here = (name) => new URL(name, import.meta.url).href;

let loading;
/** Fetches glue, WebAssembly and style side by side, once for the page; after a failure the next call tries again. */
function load() {
  loading ??= (async () => {
    const style = fetch(here(STYLE)).then((answer) => (answer.ok ? answer.text() : Promise.reject(new Error(`${answer.status} ${answer.url}`))));
    const wasm = fetch(here(WASM));
    const glue = import(here(GLUE));
    // Whichever fails first is what is told; the others must not be called unhandled.
    const [text, bundle] = await Promise.all([style, glue, wasm]);
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

class PlimsollUpload extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = [...SETTINGS, 'lang', 'required', 'name'];

  #internals = this.attachInternals();
  /** The widget, while there is one. */
  #widget;
  #beginning = false;
  /** Files that were added before there was a widget. */
  #early = [];
  /** Receipts of the stored files in the list, by the files' numbers. */
  #stored = new Map();

  constructor() {
    super();
    // What was set on the tag before it was defined stands in the way of the properties.
    for (const name of Object.keys(this)) {
      if (!(name in PlimsollUpload.prototype)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
  }

  connectedCallback() {
    this.#begin();
  }

  // Moving it is not removing it.
  connectedMoveCallback() {}

  disconnectedCallback() {
    // What moves an element takes it out and puts it in again at once.
    setTimeout(() => this.isConnected || this.#end());
  }

  attributeChangedCallback(name, old, value) {
    if (old === value) return;
    if (FORMS.includes(name)) this.#weigh();
    else this.#begin();
  }

  formDisabledCallback(disabled) {
    const frame = this.shadowRoot?.querySelector('fieldset');
    if (frame) frame.disabled = disabled;
  }

  /** Takes files as if a person had picked them; those that come before the widget wait for it. */
  add(files) {
    const input = this.shadowRoot?.querySelector('[data-pl-input]');
    if (!input) return this.#early.push(...files);
    const list = new DataTransfer();
    for (const file of files) list.items.add(file);
    input.files = list.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }

  async #begin() {
    if (this.#beginning || this.#widget || !this.isConnected) return;
    this.#beginning = true;
    try {
      const { bundle, sheet } = await load();
      if (!this.isConnected) return;
      const frame = document.createElement('fieldset');
      frame.className = 'pl-frame';
      frame.setAttribute('part', 'frame');
      frame.disabled = this.matches(':disabled');
      const widget = new bundle.UploadElement(frame, this.#settings(), here('.'), (kind, detail) => this.#tell(kind, detail));
      this.#widget = widget;
      const root = this.shadowRoot ?? this.attachShadow({ mode: 'open', delegatesFocus: true });
      root.adoptedStyleSheets = [sheet];
      root.replaceChildren(frame);
      this.#adopt();
    } catch (error) {
      for (const reason of [error].flat()) {
        const message = reason?.message ?? String(reason);
        console.error(`<plimsoll-upload>: ${message}`, this);
        this.#tell('error', { message });
      }
    } finally {
      this.#beginning = false;
    }
  }

  #end() {
    this.#widget?.free();
    this.#widget = undefined;
    this.shadowRoot?.replaceChildren();
    this.#stored.clear();
    this.#weigh();
  }

  /** Names and values of all attributes that set the widget up, one after the other. */
  #settings() {
    const form = this.querySelector('form');
    const input = this.#input();
    const said = new Map();
    const say = (name, value) => value && said.set(name, value);
    say('action', form?.getAttribute('action'));
    if (input) {
      say('field', input.name);
      say('accept', input.accept);
      if (!input.multiple) said.set('multiple', 'false');
    }
    // The tag itself has the last word.
    for (const name of SETTINGS) if (this.hasAttribute(name)) said.set(name, this.getAttribute(name));
    return [...said].flat();
  }

  #input() {
    return this.querySelector('input[type=file]');
  }

  /** Takes over from what was inside the tag until now: its files; and it takes no part in any form any more. */
  #adopt() {
    const files = [...(this.#input()?.files ?? []), ...this.#early.splice(0)];
    if (files.length) this.add(files);
    for (const control of this.querySelectorAll('input, button, select, textarea')) control.disabled = true;
  }

  #tell(kind, detail) {
    return this.dispatchEvent(new CustomEvent(`plimsoll-${kind}`, { detail, bubbles: true, composed: true }));
  }

  #weigh() {}
}

/** Properties that are attributes: texts as they are, truths with the default that they have. */
const camel = (name) => name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
for (const name of [...TEXTS, 'name', ...truths.keys(), 'required', 'disabled']) {
  const isText = TEXTS.includes(name) || name === 'name';
  const byDefault = truths.get(name) ?? false;
  Object.defineProperty(PlimsollUpload.prototype, camel(name), {
    configurable: true,
    enumerable: true,
    get() {
      const value = this.getAttribute(name);
      return isText ? (value ?? '') : value === null ? byDefault : value !== 'false';
    },
    set(value) {
      if (isText ? (value ?? '') === '' : !value && !byDefault) this.removeAttribute(name);
      else this.setAttribute(name, isText ? value : value ? '' : 'false');
    },
  });
}

customElements.get('plimsoll-upload') ?? customElements.define('plimsoll-upload', PlimsollUpload);
