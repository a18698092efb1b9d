// What the map knows of all images, in columns that run in the order of their keys; what else it needs, it asks for.

import { getMap } from './api.js';
import { titleOfFinding } from './cards.js';

/** Load the map: places (0…1, y upwards) of all images, and the number of each one's class, split and finding. */
export async function loadAtlas(options) {
  const { classes, keys, labels, splits, findings, x, y, look } = await getMap(options);
  const splitNames = [...new Set(splits)].map((split) => split ?? 'No split');
  const kinds = Object.keys(findings);
  const kindOf = new Uint8Array(keys.length);
  kinds.forEach((kind, number) => findings[kind].forEach((i) => (kindOf[i] ||= number + 1)));
  const rows = new Map(keys.map((key, i) => [key, i]));
  return {
    total: keys.length, x: Float32Array.from(x), y: Float32Array.from(y),
    look: look && { x: Float32Array.from(look.x), y: Float32Array.from(look.y) },
    class: { names: classes, numbers: Uint16Array.from(labels) },
    split: { names: splitNames, numbers: Uint8Array.from(splits, (split) => splitNames.indexOf(split ?? 'No split')), neutral: splitNames.indexOf('No split') },
    finding: { names: ['No finding', ...kinds.map(titleOfFinding)], numbers: kindOf, neutral: 0 },
    rowOf: ({ key }) => rows.get(key),
    entries: async (asked) => asked.map((i) => ({ key: keys[i], label: classes[labels[i]], split: splits[i], findings: [] })),
  };
}
