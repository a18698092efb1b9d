// The marks of the groups on the map, and its legend. A mark is a color and, where there are more groups than colors, a shape.

import { $, button, element } from './dom.js';

const COLORS = 8; // --class-0 … --class-7 in page.css; further groups take the next shape
const SHAPES = [
  (pen, r) => pen.arc(0, 0, r, 0, 2 * Math.PI),
  (pen, r) => pen.rect(-0.85 * r, -0.85 * r, 1.7 * r, 1.7 * r),
  (pen, r) => polygon(pen, [[0, -1.15 * r], [1.1 * r, 0.8 * r], [-1.1 * r, 0.8 * r]]),
  (pen, r) => polygon(pen, [[0, -1.25 * r], [1.25 * r, 0], [0, 1.25 * r], [-1.25 * r, 0]]),
];

/** A color of page.css, as it is in the light or dark scheme that is in use. */
export function color(name) {
  const probe = element('i', { style: `color: var(${name})` });
  document.body.append(probe);
  const { color: found } = getComputedStyle(probe);
  probe.remove();
  return found;
}

/** The color of a mark; -1 is that of a group that does not stand out. */
export const colorOf = (mark) => color(mark < 0 ? '--edge' : `--class-${mark % COLORS}`);

/** Red, green and blue of a color as `color` gives it, 0…255. */
export const channels = (found) => found.match(/[\d.]+/g).slice(0, 3).map(Number);

/** A small canvas with a mark: copying it is much faster than drawing every point. */
export function stamp(mark, radius) {
  const side = 2 * Math.ceil(radius * 1.4 + 1);
  const small = element('canvas', { width: side, height: side, 'aria-hidden': 'true' });
  const brush = small.getContext('2d');
  brush.translate(side / 2, side / 2);
  brush.beginPath();
  SHAPES[Math.floor(Math.max(0, mark) / COLORS) % SHAPES.length](brush, radius);
  brush.fillStyle = colorOf(mark);
  brush.fill();
  brush.lineWidth = radius / 5;
  brush.strokeStyle = color('--card');
  brush.stroke();
  return small;
}

function polygon(brush, corners) {
  for (const corner of corners) brush.lineTo(...corner);
  brush.closePath();
}

/**
 * Draw the legend: groups, each of which can be hidden, and is emphasized while it is pointed at.
 * `changed` is called when groups are hidden or shown, `emphasize` with the group that is pointed at, or -1.
 */
export function drawLegend({ names, marks, members, hidden }, changed, emphasize) {
  const entries = names.map((name, group) => {
    const entry = element('button', { type: 'button', className: 'chip' },
      stamp(marks[group], 6 * (devicePixelRatio || 1)), name, ' ', element('span', {}, members[group].length.toLocaleString('en')));
    entry.addEventListener('click', () => change(() => hidden.delete(group) || hidden.add(group)));
    for (const start of ['pointerenter', 'focus']) entry.addEventListener(start, () => emphasize(group));
    for (const end of ['pointerleave', 'blur']) entry.addEventListener(end, () => emphasize(-1));
    return entry;
  });
  const mark = () => entries.forEach((entry, group) => entry.setAttribute('aria-pressed', String(!hidden.has(group))));
  const change = (make) => {
    make();
    mark();
    changed();
  };
  mark();
  $('legend').replaceChildren(element('div', { className: 'chips' }, ...entries), element('div', { className: 'actions' },
    button('Show all', () => change(() => hidden.clear())),
    button('Hide all', () => change(() => members.forEach((_, group) => hidden.add(group))))));
}
