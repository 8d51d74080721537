// Shows on the tab of a page how far its uploads are: in the title, on the icon, and on the icon of a page that is
// installed. When all has ended, what became of it stays there until somebody looks. Follows the line over all files of
// each widget. Loaded when something is sent. Must never know a file, and never find out for itself how far one is.

/** A badge that is `undefined` has no number; 0 is none. */
const NONE = { text: '', shapes: '', badge: 0, ended: false };
/** Events of a person who is at the page. */
const LOOKS = ['focus', 'pointerdown', 'keydown', 'visibilitychange'];
/** Milliseconds between two sights of what is on its way: of small files hundreds end in a second. */
const PAUSE_MS = 250;
const VALUES = ['data-percent', 'data-active', 'data-held', 'data-failed', 'data-gathering'];
/** To be seen on dark bars and on light ones: what is not there yet, what is, all, and what needs somebody. */
const [REST, PART, ALL, WARNING] = ['#8fb3b8', '#178a94', '#2b9a5b', '#d5453f'];

/** The forms of the widgets, and the line over all files of each. */
const followed = new Map();
let shown = NONE;
/** When what is on its way was last shown, and what shows it again if nothing else does before. */
let last = -PAUSE_MS;
let pause;
/** Whether somebody has seen how it ended. */
let looked = false;
let values;
let titles;
/** What the page itself has written as its title, what stands before it, and both. */
let own = '';
let prefix = '';
let written = '';
/** Our icon, while there is one; the page's own, with what they were before they gave way. */
let icon;
let aside = [];
/** How languages write a share. */
const formats = new Map();
/** Addresses of icons by their shapes: some twenty, never taken back, because a tab fetches them when it likes. */
const urls = new Map();
/** The policy of the page does not allow such icons. */
let refused = false;

/** Follows the uploads of this form, or stops to. */
export async function title(form, on) {
  const total = form.querySelector('[data-pl-total]');
  followed.delete(form);
  if (on && total) followed.set(form, total);
  values ??= new MutationObserver(update);
  values.disconnect();
  for (const each of followed.values()) values.observe(each, { attributes: true, attributeFilter: VALUES });
  update();
}

function update() {
  const mark = read();
  if (mark.text === shown.text && mark.badge === shown.badge) return;
  clearTimeout(pause);
  // How it ended, and that there is nothing to say, is shown at once. In a tab behind others the timer is late, and
  // whatever comes after the pause is shown all the same.
  const rest = last + PAUSE_MS - performance.now();
  if (rest > 0 && mark.text && !mark.ended) {
    pause = setTimeout(update, rest);
    return;
  }
  last = performance.now();
  // A page that puts its own title back each time has the last word, until there is something else to show.
  titles ??= new MutationObserver(() => document.title === own || name(shown.text));
  titles.disconnect();
  if (mark.text) titles.observe(document.head, { subtree: true, childList: true, characterData: true });
  for (const event of LOOKS) {
    if (mark.ended) addEventListener(event, look);
    else removeEventListener(event, look);
  }
  name(mark.text);
  if (mark.shapes !== shown.shapes) draw(mark.shapes);
  // Only pages that are installed have such an icon.
  if (mark.badge !== shown.badge) {
    const told = mark.badge === 0 ? navigator.clearAppBadge?.() : navigator.setAppBadge?.(mark.badge);
    told?.catch(() => {});
  }
  shown = mark;
}

/** What all widgets together have to show. */
function read() {
  const lines = [...followed].map(([form, { dataset }]) => {
    const [percent, active, held, failed] = [dataset.percent, dataset.active, dataset.held, dataset.failed].map(Number);
    // More is on its way into the list: what is in it may be stored, and is not all.
    const more = 'gathering' in dataset;
    // Of what is held and was not begun there is nothing to show.
    const open = active > 0 || (held > 0 && percent > 0) || more;
    return { form, active, failed, percent: more ? Math.min(percent, 99) : percent, open };
  });
  const open = lines.filter((line) => line.open);
  if (open.length > 0) {
    looked = false;
    // Of several the least: never more than is true.
    const { form, percent } = open.reduce((least, line) => (line.percent < least.percent ? line : least));
    return { text: share(percent, form.lang), shapes: ring(percent), badge: open.reduce((sum, { active }) => sum + active, 0) || undefined, ended: false };
  }
  const failed = lines.reduce((sum, line) => sum + line.failed, 0);
  if (looked) return NONE;
  if (failed > 0) return { text: '!', shapes: disc(WARNING, 'M16 6v13m0 3v4'), badge: failed, ended: true };
  if (lines.some(({ percent }) => percent === 100)) return { text: '\u2713', shapes: disc(ALL, 'M8 17l6 6 10-13'), badge: undefined, ended: true };
  return NONE;
}

function share(percent, lang) {
  if (!formats.has(lang)) formats.set(lang, format(lang));
  return formats.get(lang).format(percent / 100);
}

function format(lang) {
  try {
    return new Intl.NumberFormat(lang || undefined, { style: 'percent' });
  } catch {
    // A page with words of its own may call their language what it likes.
    return format();
  }
}

function look() {
  if (document.visibilityState !== 'visible') return;
  looked = true;
  update();
}

/** Puts this before the page's own title, whatever that is by now. */
function name(text) {
  const now = document.title;
  // A page that adds to the title as it finds it has our part in it.
  if (now !== written) own = now.replace(prefix, '');
  prefix = text && `${text} \u00b7 `;
  written = (prefix + own).trim();
  if (now !== written) document.title = written;
}

/** Has an icon of these shapes in the place of the page's own, or gives that back. */
function draw(shapes) {
  if (!shapes || refused) {
    icon?.remove();
    icon = undefined;
    for (const [link, rel] of aside.splice(0)) link.rel = rel;
    document.removeEventListener('securitypolicyviolation', heardRefusal);
  } else {
    if (!icon) {
      aside = [...document.querySelectorAll('link[rel~="icon" i]')].map((link) => [link, link.rel]);
      for (const [link] of aside) link.rel = '';
      icon = document.createElement('link');
      icon.rel = 'icon';
      icon.type = 'image/svg+xml';
      document.head.append(icon);
      document.addEventListener('securitypolicyviolation', heardRefusal);
    }
    if (!urls.has(shapes)) {
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none">${shapes}</svg>`;
      urls.set(shapes, URL.createObjectURL(new Blob([svg], { type: icon.type })));
    }
    icon.href = urls.get(shapes);
  }
}

function heardRefusal({ blockedURI, effectiveDirective }) {
  refused = blockedURI === 'blob' && effectiveDirective === 'img-src';
  if (refused) draw('');
}

/** On so small an icon no finer steps can be seen. */
function ring(percent) {
  const part = percent - (percent % 5);
  const circle = (colour, more) => `<circle cx="16" cy="16" r="11" stroke="${colour}" stroke-width="8"${more}/>`;
  return circle(REST, '') + circle(PART, ` pathLength="100" stroke-dasharray="${part} 100" transform="rotate(-90 16 16)"`);
}

function disc(colour, path) {
  return `<circle cx="16" cy="16" r="16" fill="${colour}"/><path d="${path}" stroke="#fff" stroke-width="4"/>`;
}
