// What the map knows of all images, and the questions asked of their points: which is nearest, which lies in a direction.

import { getImages, getMap } from './api.js';
import { titleOfFinding } from './cards.js';

const AT_ONCE = 200; // images that are asked for in one call

/**
 * Load the map: places (0…1, y upwards) of all images, and the number of each one's class, split and finding. The answer is
 * the length of a header, the header, and then the columns, one after the other.
 */
export async function loadAtlas(options) {
  const packed = await getMap(options);
  const length = new DataView(packed).getUint32(0, true);
  const { images: total, classes, splits, findings, look } = JSON.parse(new TextDecoder().decode(new Uint8Array(packed, 4, length)));
  let at = 4 + length;
  const column = (Kind) => {
    const values = new Kind(packed, at, total);
    at += values.byteLength;
    return values;
  };
  const places = () => Float32Array.from(column(Uint16Array), (value) => value / 65535);
  const all = { x: places(), y: places() };
  const looks = look ? { x: places(), y: places() } : null;
  const labels = column(Uint16Array);
  const grouped = (names, neutral) => ({
    names: [...names, neutral], numbers: column(Uint8Array).map((number) => Math.min(number, names.length)), neutral: names.length,
  });
  const known = new Map(); // row → what the server has said of an image
  const load = async (rows) => {
    const { images } = await getImages({ row: rows, size: AT_ONCE });
    for (const image of images) known.set(image.row, image);
  };
  return {
    total, all, look: looks,
    class: { names: classes, numbers: labels },
    split: grouped(splits, 'No split'),
    finding: grouped(findings.map(titleOfFinding), 'No finding'),
    entries: async (rows) => {
      const missing = rows.filter((row) => !known.has(row));
      for (let i = 0; i < missing.length; i += AT_ONCE) await load(missing.slice(i, i + AT_ONCE));
      return rows.map((row) => known.get(row));
    },
  };
}

export class Points {
  /** `x` and `y` (0…1, y upwards) run in parallel. */
  constructor({ x, y }) {
    Object.assign(this, { x, y, total: x.length });
    let [left, right, bottom, top] = [1, 0, 1, 0];
    for (let i = 0; i < x.length; i += 1) {
      [left, right] = [Math.min(left, x[i]), Math.max(right, x[i])];
      [bottom, top] = [Math.min(bottom, y[i]), Math.max(top, y[i])];
    }
    this.middle = [(left + right) / 2, (bottom + top) / 2];
    this.extent = [Math.max(right - left, 1e-6), Math.max(top - bottom, 1e-6)];
  }

  /**
   * Divide the points into groups, which have a name and a mark, and can be hidden: `numbers` are positions in `names`. The
   * group `neutral`, if any, gets no color.
   */
  group({ names, numbers, neutral = -1 }) {
    const marks = names.map((_, i) => (i === neutral ? -1 : i));
    Object.assign(this, { names, numbers, marks, hidden: new Set(), members: names.map(() => []) });
    numbers.forEach((number, i) => this.members[number].push(i));
  }

  shows(i) {
    return !this.hidden.has(this.numbers[i]);
  }

  /** The visible point nearest to a place, or -1 if none is within `reach`. */
  nearest(x, y, reach = Infinity) {
    let [best, least] = [-1, reach ** 2];
    for (let i = 0; i < this.total; i += 1) {
      const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
      if (distance <= least && this.shows(i)) [best, least] = [i, distance];
    }
    return best;
  }

  /** The next visible point from one in a direction (right, up: -1, 0 or 1), at most 45° aside; or -1. */
  towards(from, right, up) {
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < this.total; i += 1) {
      const [x, y] = [this.x[i] - this.x[from], this.y[i] - this.y[from]];
      const ahead = x * right + y * up;
      const aside = Math.abs(x * up) + Math.abs(y * right);
      if (ahead > 0 && aside <= ahead && ahead + 2 * aside < least && this.shows(i)) [best, least] = [i, ahead + 2 * aside];
    }
    return best;
  }

  /** The visible points within a polygon, [[x, y], …]. */
  within(polygon) {
    const found = [];
    for (let i = 0; i < this.total; i += 1) if (this.shows(i) && isWithin(polygon, this.x[i], this.y[i])) found.push(i);
    return found;
  }
}

/** Whether a ray to the right of a place crosses the polygon's sides an odd number of times. */
function isWithin(polygon, x, y) {
  let inside = false;
  for (let j = 0; j < polygon.length; j += 1) {
    const [[x1, y1], [x2, y2]] = [polygon[j], polygon[(j + 1) % polygon.length]];
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) inside = !inside;
  }
  return inside;
}
