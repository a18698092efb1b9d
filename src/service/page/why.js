// Why similar: a shade over a result and its query that lets through the places from which their likeness comes.

import { explain } from './api.js';
import { element } from './dom.js';

const SHADE = 0.8; // opacity where nothing comes from
const SIDE = 256;  // pixels of the longer side of a shade; the browser smooths it

/** Shade the panes of the viewer, of which the last has the hit; `query` is what the server is asked about. */
export async function shade(panes, query, hit) {
  const note = element('p', { className: 'why', role: 'status' }, 'Comparing …');
  panes.at(-1).append(note);
  try {
    const loaded = panes.map((pane) => pane.querySelector('img')?.decode().catch(() => {}));
    const [grids] = await Promise.all([explain(query, hit), ...loaded]);
    if (!note.isConnected) return; // no longer wanted
    if (panes.length > 1) cover(panes[0], grids.query, query.region ? query.region.split(',').map(Number) : undefined);
    cover(panes.at(-1), grids.hit);
    note.textContent = 'Bright: where the likeness comes from';
  } catch (error) {
    note.textContent = error.message;
  }
}

export const unshade = (within) => within.querySelectorAll('.why').forEach((each) => each.remove());

/** Lay a shade over a picture, or over a region of it and all around. */
function cover(pane, grid, [x, y, width, height] = [0, 0, 1, 1]) {
  const image = pane.querySelector('img');
  if (!image?.naturalWidth) return; // nothing is seen there
  const share = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
  const [right, down] = [image.naturalWidth * share, image.naturalHeight * share].map(Math.round);
  const canvas = element('canvas', { className: 'picture large why', width: right, height: down, 'aria-hidden': 'true' });
  canvas.style.transform = image.style.transform;
  const pen = canvas.getContext('2d');
  pen.fillStyle = `rgb(0 0 0 / ${SHADE})`;
  pen.fillRect(0, 0, right, down);
  pen.clearRect(x * right, y * down, width * right, height * down);
  pen.drawImage(shadeOf(grid), x * right, y * down, width * right, height * down);
  image.after(canvas);
}

/** A shade of one pixel for each place. */
function shadeOf(grid) {
  const small = element('canvas', { width: grid[0].length, height: grid.length });
  const pixels = new ImageData(small.width, small.height);
  grid.flat().forEach((share, i) => (pixels.data[4 * i + 3] = 255 * SHADE * (1 - share)));
  small.getContext('2d').putImageData(pixels, 0, 0);
  return small;
}
