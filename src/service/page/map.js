// The map view: every image as a point on a canvas that can be moved and zoomed, with a tooltip and a legend.
// Places on the map are 0…1 with y upwards; places on the screen are CSS pixels of the canvas.

import { getMap, thumbnailUrl } from './api.js';
import { breakable, isClass, picture } from './cards.js';
import { $, count, element, say } from './dom.js';
import { Points } from './points.js';
import { settings } from './search.js';

const COLORS = 8;       // --class-0 … --class-7 in page.css; further classes take the next mark
const MOST_ZOOM = 100;
const MANY = 4000;      // from this many points on, they are simple squares while the map moves
const MARGIN = 24;      // pixels around the points when the whole map is shown
const REACH = { mouse: 12, pen: 12, touch: 24 }; // pixels around the pointer in which a point is found
const MARKS = [
  (pen, r) => pen.arc(0, 0, r, 0, 2 * Math.PI),
  (pen, r) => pen.rect(-0.85 * r, -0.85 * r, 1.7 * r, 1.7 * r),
  (pen, r) => polygon(pen, [[0, -1.15 * r], [1.1 * r, 0.8 * r], [-1.1 * r, 0.8 * r]]),
  (pen, r) => polygon(pen, [[0, -1.25 * r], [1.25 * r, 0], [0, 1.25 * r], [-1.25 * r, 0]]),
];

const canvas = $('map');
const pen = canvas.getContext('2d');
const view = { zoom: 1, x: 0.5, y: 0.5 }; // x and y are the place in the middle of the canvas
const pressed = new Map();                // pointers that are down → where they are
let points = null;
let current = -1;                         // the point with the tooltip
let emphasized = -1;                      // the class that is pointed at in the legend
let moved = false;                        // whether the present press is a drag, not a click
let frame = 0;
let hurried = false;                      // whether the next frame is one of many
let resting = 0;
let delayed = 0;
let stamps = { radius: 0, marks: [] };

export function setUpMap(visit) {
  const search = () => current >= 0 && visit({ ...settings(), label: '', key: points.keys[current] });
  const under = ({ offsetX, offsetY, pointerType }) =>
    points?.nearest(...toMap(offsetX, offsetY), (REACH[pointerType] ?? REACH.mouse) / scale()) ?? -1;

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    pressed.set(event.pointerId, { x: event.offsetX, y: event.offsetY, startX: event.offsetX, startY: event.offsetY });
    moved = pressed.size > 1;
  });
  canvas.addEventListener('pointermove', (event) => {
    const pointer = pressed.get(event.pointerId);
    if (!pointer) {
      pointAt(under(event));
      return;
    }
    const before = grip();
    Object.assign(pointer, { x: event.offsetX, y: event.offsetY });
    moved ||= Math.hypot(pointer.x - pointer.startX, pointer.y - pointer.startY) > 5;
    if (moved) drag(before, grip());
  });
  canvas.addEventListener('pointerup', (event) => {
    if (!pressed.delete(event.pointerId) || moved) return;
    const known = current;
    pointAt(under(event));
    if (current === known || event.pointerType !== 'touch') search(); // a finger looks first, then chooses
  });
  canvas.addEventListener('pointercancel', (event) => pressed.delete(event.pointerId));
  canvas.addEventListener('pointerleave', (event) => event.pointerType !== 'touch' && pointAt(-1));
  canvas.addEventListener('blur', () => pointAt(-1));
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.offsetX, event.offsetY);
  }, { passive: false });

  const keys = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, 1), ArrowDown: () => step(0, -1),
    '+': () => zoom(1.5), '=': () => zoom(1.5), '-': () => zoom(1 / 1.5), 0: reset, Enter: search, Escape: () => pointAt(-1),
  };
  canvas.addEventListener('keydown', (event) => {
    if (!points || !Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  $('zoom-in').addEventListener('click', () => zoom(1.5));
  $('zoom-out').addEventListener('click', () => zoom(1 / 1.5));
  $('zoom-reset').addEventListener('click', reset);

  new ResizeObserver(() => redraw()).observe(canvas);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    stamps.radius = 0;
    if (points) drawLegend();
    redraw();
  });
}

export async function showMap(state, info, options) {
  if (!points) {
    say('Loading …');
    points = new Points(await getMap(options));
    $('atlas').hidden = false;
    drawLegend();
    reset();
  }
  pointAt(-1);
  redraw();
  say(`${count(points.keys.length, 'image')}, ${count(points.classes.filter(isClass).length, 'class', 'classes')}`);
}

// Places

/** Pixels per unit of the map; both axes alike, so that a distance means the same in every direction. */
function scale() {
  const [width, height] = points?.extent ?? [1, 1];
  return view.zoom * Math.min((canvas.clientWidth - 2 * MARGIN) / width, (canvas.clientHeight - 2 * MARGIN) / height);
}

function toScreen(x, y) {
  return [canvas.clientWidth / 2 + (x - view.x) * scale(), canvas.clientHeight / 2 - (y - view.y) * scale()];
}

function toMap(x, y) {
  return [view.x + (x - canvas.clientWidth / 2) / scale(), view.y - (y - canvas.clientHeight / 2) / scale()];
}

// Moving

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const before = toMap(x, y);
  view.zoom = Math.max(1, Math.min(MOST_ZOOM, view.zoom * factor));
  const after = toMap(x, y);
  move(before[0] - after[0], before[1] - after[1]);
}

/** Move what is looked at, as far as there are points. */
function move(x, y) {
  if (!points) return;
  const within = (value, middle, size) => Math.max(middle - size / 2, Math.min(middle + size / 2, value));
  view.x = within(view.x + x, points.middle[0], points.extent[0]);
  view.y = within(view.y + y, points.middle[1], points.extent[1]);
  redraw(points.keys.length > MANY);
}

function reset() {
  if (!points) return;
  [view.zoom, view.x, view.y] = [1, ...points.middle];
  redraw();
}

/** The middle of the pointers that are down, and how far apart they are. */
function grip() {
  const all = [...pressed.values()];
  const mean = (of) => all.reduce((sum, pointer) => sum + of(pointer), 0) / all.length;
  const [x, y] = [mean((pointer) => pointer.x), mean((pointer) => pointer.y)];
  return { x, y, spread: mean((pointer) => Math.hypot(pointer.x - x, pointer.y - y)) };
}

function drag(before, after) {
  pointAt(-1);
  move((before.x - after.x) / scale(), (after.y - before.y) / scale());
  if (before.spread && after.spread) zoom(after.spread / before.spread, after.x, after.y);
}

/** By keyboard, to the next point in a direction, which comes into sight and is said; at first, to the middle. */
function step(right, up) {
  const next = current < 0 ? points.nearest(view.x, view.y) : points.towards(current, right, up);
  if (next < 0) return;
  pointAt(next);
  const [x, y] = toScreen(points.x[next], points.y[next]);
  const seen = x > 0 && y > 0 && x < canvas.clientWidth && y < canvas.clientHeight;
  if (!seen) move(points.x[next] - view.x, points.y[next] - view.y);
  say(`${points.keys[next]}, ${points.classes[points.labels[next]]}`);
}

// Drawing

function redraw(moving = false) {
  hurried = moving;
  clearTimeout(resting);
  if (moving) resting = setTimeout(redraw, 150);
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  if (!points || !canvas.clientWidth) return;
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  pen.clearRect(0, 0, width, height);

  const { x, y, members, hidden } = points;
  const { radius, marks } = stampsFor(ratio);
  const size = hurried ? Math.round(1.6 * radius) : marks[0]?.width;
  const [perUnit, left, top] = [scale() * ratio, (width - size) / 2, (height - size) / 2];
  const order = [...members.keys()].sort((a, b) => (a === emphasized) - (b === emphasized));
  for (const label of order.filter((each) => !hidden.has(each))) {
    pen.globalAlpha = emphasized < 0 || emphasized === label ? 0.9 : 0.12;
    pen.fillStyle = colorOf(label);
    for (const i of members[label]) {
      const atX = Math.round(left + (x[i] - view.x) * perUnit);
      const atY = Math.round(top - (y[i] - view.y) * perUnit);
      if (atX < -size || atY < -size || atX > width || atY > height) continue;
      if (hurried) pen.fillRect(atX, atY, size, size);
      else pen.drawImage(marks[label], atX, atY);
    }
  }
  placeTooltip();
}

/** The classes' marks in the size that suits the number of points and the zoom. */
function stampsFor(ratio) {
  const small = Math.min(1, canvas.clientWidth / 700) * Math.max(2, 4.5 - points.keys.length / 5000);
  const radius = Math.round(4 * ratio * Math.min(9, Math.max(1.5, small) * view.zoom ** 0.3)) / 4;
  if (radius !== stamps.radius) stamps = { radius, marks: points.classes.map((_, label) => stamp(label, radius)) };
  return stamps;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
const colorOf = (label) => color(`--class-${label % COLORS}`);

/** A small canvas with the mark of a class: copying it is much faster than drawing every point anew. */
function stamp(label, radius) {
  const side = 2 * Math.ceil(radius * 1.4 + 1);
  const small = element('canvas', { width: side, height: side, 'aria-hidden': 'true' });
  const brush = small.getContext('2d');
  brush.translate(side / 2, side / 2);
  brush.beginPath();
  MARKS[Math.floor(label / COLORS) % MARKS.length](brush, radius);
  brush.fillStyle = colorOf(label);
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

// Tooltip and legend

function pointAt(i) {
  if (i === current) return;
  current = i;
  canvas.classList.toggle('pointing', i >= 0);
  clearTimeout(delayed);
  if (i >= 0) {
    const empty = element('span', { className: 'picture' });
    const label = element('b', {}, points.classes[points.labels[i]]);
    $('point').replaceChildren(empty, label, element('span', {}, ...breakable(points.keys[i])));
    delayed = setTimeout(() => empty.replaceWith(picture(thumbnailUrl(points.keys[i]))), 60); // not for all that are passed
  }
  placeTooltip();
}

function placeTooltip() {
  const [ring, tooltip] = [$('ring'), $('point')];
  ring.hidden = tooltip.hidden = current < 0;
  if (current < 0) return;
  const [x, y] = toScreen(points.x[current], points.y[current]);
  const [width, height] = [tooltip.offsetWidth, tooltip.offsetHeight];
  const left = x + 16 + width > canvas.clientWidth ? x - 16 - width : x + 16;
  const top = Math.min(canvas.clientHeight - height - 4, y - height / 2);
  ring.style.translate = `${x}px ${y}px`;
  tooltip.style.translate = `${Math.max(4, left)}px ${Math.max(4, top)}px`;
}

function drawLegend() {
  const { classes, members, hidden } = points;
  const emphasize = (label) => {
    emphasized = label;
    redraw();
  };
  const entries = classes.map((name, label) => {
    const entry = element('button', { type: 'button', className: 'chip' },
      stamp(label, 6 * (devicePixelRatio || 1)), name, ' ', element('span', {}, members[label].length.toLocaleString('en')));
    entry.addEventListener('click', () => change(() => hidden.delete(label) || hidden.add(label)));
    for (const start of ['pointerenter', 'focus']) entry.addEventListener(start, () => emphasize(label));
    for (const end of ['pointerleave', 'blur']) entry.addEventListener(end, () => emphasize(-1));
    return entry;
  });
  const change = (make) => {
    make();
    entries.forEach((entry, label) => entry.setAttribute('aria-pressed', String(!hidden.has(label))));
    redraw();
  };
  const forAll = (name, make) => {
    const button = element('button', { type: 'button', className: 'button' }, name);
    button.addEventListener('click', () => change(make));
    return button;
  };
  change(() => {});
  $('legend').replaceChildren(element('div', { className: 'chips' }, ...entries), element('div', { className: 'chips' },
    forAll('Show all', () => hidden.clear()), forAll('Hide all', () => members.forEach((_, label) => hidden.add(label)))));
}
