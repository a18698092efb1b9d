// What the map knows of all images, in columns that run in the order of their keys; what else it needs, it asks for.

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
