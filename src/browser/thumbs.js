// Draws small pictures of images, and of what videos show soon after they begin, into the rows of a list: few at a time,
// and only while no file waits to be sent. A row that cannot have one keeps the icon of its sort; so does one that is drawn
// for the first time when its file is stored, as in a long list that is scrolled later: by then the file is let go of.
// Loaded when such a file is added. Must never know what becomes of a file, and never keep one.

/** Pixels of each side: enough for the icon on a screen of two pixels to the dot. */
const SIDE = 96;
/** Pictures in the making at one time, over all widgets of a page. */
const MOST_AT_WORK = 2;
/** What is larger costs more memory to open than a picture is worth: bytes of an image, and its pixels. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_PIXELS = 100e6;
/** Pixels from which images are opened one by one: four bytes each, where a browser cannot open them small. */
const LARGE = 16e6;
/** Bytes of a drawing, which is drawn where everything else of the page is done. */
const MOST_DRAWN = 1024 * 1024;
/** Milliseconds until a video is given up that neither opens nor fails. */
const PATIENCE_MS = 10_000;
/**
 * Milliseconds that a later place of a video is waited for, when there is a picture of its beginning: in one that has no
 * list of its places some browsers look for it without an end.
 */
const LATER_MS = 2_000;
/** Pictures that are kept, a few kilobytes each, for rows that are scrolled away and come back. */
const MOST_KEPT = 300;

const followed = new Map();
let atWork = 0;
/** Whether a video is open: it can take long, and the next one waits in its list, not in the way of images. */
let filming = false;
/** The last of those that are worked on one by one. */
let last = Promise.resolve();
/** What the policy of the page does not allow; one that was refused is enough. */
const refused = new Set();

/**
 * Follows the rows of this form; `find` gives the file with a number, or nothing when it is not at hand. Without
 * `find` it stops to, and takes back all that the browser keeps.
 */
export async function thumbs(form, find) {
  followed.get(form)?.stop();
  followed.delete(form);
  const list = form.querySelector('[data-pl-list]');
  const total = form.querySelector('[data-pl-total]');
  if (!find || !list || !total) return;

  const seen = new WeakSet();
  const kept = new Map();
  const urls = new Map();
  let waiting = [];
  let planned = false;
  let stopped = false;

  // A row that is only moved within the list is in it by the time this is called.
  const isThere = (row) => !stopped && row.parentNode === list;

  const look = () => {
    for (const [row, url] of urls) {
      if (isThere(row)) continue;
      URL.revokeObjectURL(url);
      urls.delete(row);
    }
    waiting = waiting.filter(({ row }) => isThere(row));
    for (const icon of list.querySelectorAll('[data-pl-icon^="image/"], [data-pl-icon^="video/"]')) {
      const row = icon.closest('[data-pl-row]');
      if (seen.has(row)) continue;
      seen.add(row);
      const id = Number(row.dataset.plRow);
      const picture = kept.get(id);
      // Asked for at once: a file that is stored is let go of.
      const file = picture ? undefined : find(id);
      const open = icon.dataset.plIcon.startsWith('video/') ? beginning : reduced;
      if (picture) show(row, icon, picture);
      else if (file) waiting.push({ row, icon, id, file, open });
    }
    plan();
  };

  const show = (row, icon, picture) => {
    if (!isThere(row)) return;
    // Of what it showed before.
    if (urls.has(row)) URL.revokeObjectURL(urls.get(row));
    const url = URL.createObjectURL(picture);
    urls.set(row, url);
    const image = new Image();
    image.alt = '';
    // Dragged over the zone it would be one more file.
    image.draggable = false;
    image.onload = () => icon.replaceChildren(image);
    image.src = url;
  };

  // Whatever else the page has to do comes first.
  const plan = () => {
    if (planned || stopped || waiting.length === 0) return;
    planned = true;
    if (globalThis.requestIdleCallback) requestIdleCallback(work);
    else setTimeout(work);
  };

  const work = () => {
    planned = false;
    while (!stopped && waiting.length > 0 && atWork < MOST_AT_WORK && total.dataset.starting === '0') {
      const next = waiting.findIndex(({ open }) => open !== beginning || !filming);
      if (next < 0) return;
      const [{ row, icon, id, file, open }] = waiting.splice(next, 1);
      atWork += 1;
      if (open === beginning) filming = true;
      const made = (picture) => {
        if (kept.size === MOST_KEPT && !kept.has(id)) kept.delete(kept.keys().next().value);
        kept.set(id, picture);
        show(row, icon, picture);
      };
      open(file, made)
        .catch(() => {})
        .finally(() => {
          atWork -= 1;
          if (open === beginning) filming = false;
          for (const each of followed.values()) each.plan();
        });
    }
  };

  const observer = new MutationObserver(look);
  observer.observe(list, { childList: true });
  observer.observe(total, { attributes: true, attributeFilter: ['data-starting'] });
  const stop = () => {
    stopped = true;
    observer.disconnect();
    look();
  };
  document.addEventListener('securitypolicyviolation', heardRefusal);
  followed.set(form, { stop, plan });
  look();
}

function heardRefusal({ blockedURI, effectiveDirective }) {
  if (blockedURI === 'blob') refused.add(effectiveDirective);
}

/** Makes a small picture of an image. */
async function reduced(file, made) {
  if (file.size > MOST_BYTES || refused.has('img-src')) throw new Error('no picture of it');
  const image = new Image();
  const url = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
      image.src = url;
    });
    const { naturalWidth: width, naturalHeight: height } = image;
    if (!(width && height) || width * height > MOST_PIXELS) throw new Error('no picture of it');
    const work = () => draw(width, height, (...size) => opened(file, image, ...size));
    made(await (width * height > LARGE ? alone(work) : work()));
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** What to draw in so many pixels: opened small and beside the page, where the browser can do that. */
async function opened(file, image, width, height) {
  try {
    // Twice as large: from an eighth on some browsers take the next smaller size that costs them nothing.
    const desired = { desiredWidth: Math.min(2 * width, image.naturalWidth), desiredHeight: Math.min(2 * height, image.naturalHeight) };
    const decoder = new ImageDecoder({ data: file.stream(), type: file.type, ...desired });
    // Nobody waits for these; closing it breaks them.
    for (const unheard of [decoder.completed, decoder.tracks.ready]) unheard.catch(() => {});
    try {
      return (await decoder.decode()).image;
    } finally {
      decoder.close();
    }
  } catch {
    const options = { resizeWidth: width, resizeHeight: height, resizeQuality: 'medium' };
    return createImageBitmap(file, options).catch((error) => {
      // Drawings are taken only as an element.
      if (file.size > MOST_DRAWN) throw error;
      return image;
    });
  }
}

/**
 * Makes a small picture of what a video begins with and then, for that is often black, of what it shows a little later,
 * where that can be had.
 */
function beginning(file, made) {
  return alone(async () => {
    if (refused.has('media-src') || refused.has('img-src')) throw new Error('no picture of it');
    const video = document.createElement('video');
    const url = URL.createObjectURL(file);
    const drawn = async () => made(await draw(video.videoWidth, video.videoHeight, () => video));
    try {
      await new Promise((resolve, reject) => {
        video.muted = true;
        video.playsInline = true;
        video.preload = 'metadata';
        // Only what was sought is sure to be shown. Where there is nothing to see, there is no width.
        video.onloadedmetadata = () => (video.videoWidth ? (video.currentTime = 0) : reject(new Error('nothing to see')));
        // Firefox now and then forgets, in the first video that it opens, what was sought before there was a frame.
        video.onloadeddata = () => video.seeking || (video.currentTime = 0);
        video.onseeked = resolve;
        video.onerror = reject;
        AbortSignal.timeout(PATIENCE_MS).onabort = reject;
        video.src = url;
      });
      video.onloadeddata = null;
      await drawn();
      // Of some nobody knows how long they are.
      const later = Number.isFinite(video.duration) ? Math.min(1, video.duration / 10) : 0;
      if (later === 0) return;
      await new Promise((resolve, reject) => {
        video.onseeked = resolve;
        video.onerror = reject;
        AbortSignal.timeout(LATER_MS).onabort = reject;
        video.currentTime = later;
      });
      await drawn();
    } finally {
      // Lets go of the decoder at once.
      video.onerror = null;
      video.removeAttribute('src');
      video.load();
      URL.revokeObjectURL(url);
    }
  });
}

/** When all are over that were begun before in this way. */
function alone(work) {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

/** The middle of it, as much as fills the square; of what is very long, smaller. */
async function draw(width, height, open) {
  const scale = Math.min(1, SIDE / Math.min(width, height), (4 * SIDE) / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = size.map((side) => Math.min(SIDE, side));
  const context = canvas.getContext('2d');
  const source = await open(...size);
  context.imageSmoothingQuality = 'medium';
  context.drawImage(source, (canvas.width - size[0]) / 2, (canvas.height - size[1]) / 2, ...size);
  source.close?.();
  // A video that is not shown all the same leaves nothing there.
  if (source instanceof HTMLVideoElement && context.getImageData(0, 0, 1, 1).data[3] === 0) throw new Error('not shown');
  return new Promise((resolve, reject) => {
    canvas.toBlob((picture) => (picture ? resolve(picture) : reject(new Error('not drawn'))), 'image/webp', 0.8);
  });
}
