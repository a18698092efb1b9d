// The marks of the groups on the map: a color and, where there are more groups than colors, a shape.

import { element } from './dom.js';

const COLORS = 8; // --class-0 … --class-7 in page.css; further groups take the next shape
const SHAPES = [
  (pen, r) => pen.arc(0, 0, r, 0, 2 * Math.PI),
  (pen, r) => pen.rect(-0.85 * r, -0.85 * r, 1.7 * r, 1.7 * r),
  (pen, r) => polygon(pen, [[0, -1.15 * r], [1.1 * r, 0.8 * r], [-1.1 * r, 0.8 * r]]),
  (pen, r) => polygon(pen, [[0, -1.25 * r], [1.25 * r, 0], [0, 1.25 * r], [-1.25 * r, 0]]),
];

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
/** The color of a mark; -1 is that of a group that does not stand out. */
export const colorOf = (mark) => color(mark < 0 ? '--edge' : `--class-${mark % COLORS}`);

/** A small canvas with a mark: copying it is much faster than drawing every point anew. */
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
