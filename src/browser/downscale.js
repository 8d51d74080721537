// Makes pictures smaller, on a canvas. Loaded when the first picture is picked that may have to be. Must never know what is
// done with them. What it makes is upright and in sRGB, and has lost what the file told besides the picture: time and
// place, camera, thumbnail, colour profile.

// How faithful what is written with loss is, from 0 to 1.
const QUALITY = 0.85;
// Where files that hold more than one picture say so, in bytes from the beginning.
const HEAD = 65_536;
const MOVING = { 'image/png': 'acTL', 'image/webp': 'ANIM' };

let faithful;
/** The last of those that are worked on one by one: an open picture holds four bytes for each of its pixels. */
let last = Promise.resolve();

/**
 * The same picture as a file of the same name, kind and time with no side longer than so many pixels; `undefined` when
 * the file itself is to be sent: it is small enough, or moves, or would not become smaller, or cannot be written as what
 * it is. It fails by rejecting where it cannot be read.
 */
export async function shrink(file, side) {
  const made = last.then(() => smaller(file, side));
  last = made.catch(() => {});
  return made;
}

async function smaller(file, side) {
  if (!(faithful ??= isFaithful()) || (await moves(file))) return undefined;
  const picture = await createImageBitmap(file, { imageOrientation: 'from-image' });
  try {
    const scale = side / Math.max(picture.width, picture.height);
    if (scale >= 1) return undefined;
    const [width, height] = [picture.width, picture.height].map((pixels) => Math.max(1, Math.round(pixels * scale)));
    const page = canvas(width, height);
    const pen = page.getContext('2d');
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(picture, 0, 0, width, height);
    const blob = await written(page, file.type);
    if (blob?.type !== file.type || blob.size >= file.size) return undefined;
    return new File([blob], file.name, { type: file.type, lastModified: file.lastModified });
  } finally {
    picture.close();
  }
}

async function moves(file) {
  const sign = MOVING[file.type];
  return !!sign && new TextDecoder('latin1').decode(await file.slice(0, HEAD).arrayBuffer()).includes(sign);
}

/** Browsers that protect a person from being recognised give back other pixels than were drawn. */
function isFaithful() {
  const pen = canvas(8, 8).getContext('2d');
  const drawn = pen.createImageData(8, 8);
  drawn.data.forEach((_, at) => (drawn.data[at] = at % 4 === 3 ? 255 : (at * 37) % 256));
  pen.putImageData(drawn, 0, 0);
  const { data } = pen.getImageData(0, 0, 8, 8);
  return drawn.data.every((value, at) => value === data[at]);
}

function canvas(width, height) {
  if (typeof OffscreenCanvas !== 'undefined') return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement('canvas'), { width, height });
}

function written(page, type) {
  if (page.convertToBlob) return page.convertToBlob({ type, quality: QUALITY });
  return new Promise((done) => page.toBlob(done, type, QUALITY));
}
