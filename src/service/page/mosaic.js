// Pictures on the map: few while all of it is seen, more as one zooms in, none over another. Which points get one depends
// on the zoom only, so that pictures stay while the map is moved, and those that are there stay when it is zoomed.

import { thumbnailUrl } from './api.js';
import { noteMissing } from './freshness.js';

const SIZE = 128;      // pixels of the thumbnails that are asked for
const MOST = 800;      // of them that are kept
const SMALLEST = 40;   // CSS pixels of a picture when all of the map is seen
const LARGEST = 96;
const ROOM = 1.5;      // times their size that pictures are apart when all of the map is seen; it shrinks to 1

const priority = (i) => Math.imul(i + 1, 2654435761) >>> 0; // as good as chance, and always the same

export class Mosaic {
  /** `entries` promises what is known of points, and `redraw` is called when a picture has come. */
  constructor(points, entries, redraw) {
    Object.assign(this, { points, entries, redraw });
    const ranked = Float64Array.from({ length: points.total }, (_, i) => priority(i) * 2 ** 20 + i).sort();
    this.order = Uint32Array.from(ranked, (rank) => rank % 2 ** 20);
    this.levels = new Map();   // level → the points that stand for its cells, the first in priority first
    this.pictures = new Map(); // point → image, or null if there is none
    this.placed = [];          // [point, left, top, width, height] in CSS pixels, as drawn last
  }

  /** Forget who stands for what: groups were hidden or shown. */
  regroup() {
    this.levels.clear();
  }

  /** Draw the pictures that are in sight. `place` maps a point to CSS pixels, `scale` is pixels per unit of the map. */
  draw(pen, { place, scale, zoom, width, height, frame }) {
    const size = Math.min(LARGEST, SMALLEST * zoom ** 0.4);
    const apart = size * Math.max(1, ROOM / zoom ** 0.5);
    const taken = [];
    const missing = [];
    this.placed = [];
    for (const i of this.choose(Math.ceil(Math.log2(scale / apart)))) {
      const [x, y] = place(i);
      if (x < -size || y < -size || x > width + size || y > height + size) continue;
      if (taken.some(([otherX, otherY]) => Math.abs(otherX - x) < apart && Math.abs(otherY - y) < apart)) continue;
      taken.push([x, y]);
      if (this.pictures.has(i)) this.drawOne(pen, i, x, y, size, frame(i));
      else if (x > 0 && y > 0 && x < width && y < height) missing.push(i);
    }
    if (missing.length) this.load(missing);
  }

  drawOne(pen, i, x, y, size, [color, edge]) {
    const picture = this.pictures.get(i);
    if (!picture) return;
    const share = size / Math.max(picture.naturalWidth, picture.naturalHeight);
    const [width, height] = [picture.naturalWidth * share, picture.naturalHeight * share];
    const [left, top] = [x - width / 2, y - height / 2];
    pen.fillStyle = color;
    pen.fillRect(left - edge, top - edge, width + 2 * edge, height + 2 * edge);
    pen.drawImage(picture, left, top, width, height);
    this.placed.push([i, left, top, width, height]);
  }

  /** The point whose picture is at a place, or -1. */
  at(x, y) {
    const found = this.placed.findLast(([, left, top, width, height]) => x >= left && y >= top && x <= left + width && y <= top + height);
    return found ? found[0] : -1;
  }

  /** One point for each cell of a grid with 2^level cells per unit, the one of the highest priority. */
  choose(level) {
    if (!this.levels.has(level)) {
      const { x, y } = this.points;
      const cells = new Set();
      const share = 2 ** level;
      this.levels.set(level, this.order.filter((i) => {
        const cell = Math.floor(x[i] * share) * 1e6 + Math.floor(y[i] * share);
        if (!this.points.shows(i) || cells.has(cell)) return false;
        cells.add(cell);
        return true;
      }));
    }
    return this.levels.get(level);
  }

  async load(missing) {
    for (const i of missing) {
      if (this.pictures.size >= MOST) this.pictures.delete(this.pictures.keys().next().value);
      this.pictures.set(i, null);
    }
    const entries = await this.entries(missing).catch(() => []);
    entries.forEach(async (entry, place) => {
      const image = new Image();
      image.src = thumbnailUrl(entry, SIZE);
      try {
        await image.decode();
        this.pictures.set(missing[place], image);
        this.redraw();
      } catch {
        noteMissing(entry);
      }
    });
  }
}
