// The map view: every image as a point on a canvas that can be moved and zoomed, with pictures, a tooltip and a legend.

import { getMap } from './api.js';
import { Camera } from './camera.js';
import { breakable, isClass, thumbnail, titleOfFinding } from './cards.js';
import { $, count, element, say } from './dom.js';
import { color, colorOf, drawLegend, stamp } from './marks.js';
import { Mosaic } from './mosaic.js';
import { Points } from './points.js';
import { isSelected, remember, select } from './selection.js';
import { settings } from './settings.js';

const REACH = { mouse: 12, pen: 12, touch: 24 }; // pixels around the pointer in which a point is found

const canvas = $('map');
const pen = canvas.getContext('2d');
const camera = new Camera(canvas);
const pressed = new Map();                // pointers that are down → where they are
let known = null;                         // what the server has given
let shown = '';                           // the layout and the coloring that are shown
let points = null;
let mosaic = null;
let current = -1;                         // the point with the tooltip
let emphasized = -1;                      // the group that is pointed at in the legend
let lasso = null;                         // what is drawn around images, as places on the map
let moved = false;                        // whether the present press is a drag, not a click
let frame = 0;
let delayed = 0;
let stamps = { radius: 0 };               // the groups' marks and the colors, as they were drawn last

export function setUpMap(visit) {
  const search = () => current >= 0 && visit({ ...settings(), label: '', split: '', finding: '', key: [points.keys[current]] });
  setUpPointers(search);
  setUpKeys(search);
  $('lasso').addEventListener('click', () => {
    const on = $('lasso').getAttribute('aria-pressed') !== 'true';
    $('lasso').setAttribute('aria-pressed', String(on));
    canvas.classList.toggle('drawing', on);
  });
  $('zoom-in').addEventListener('click', () => zoom(1.5));
  $('zoom-out').addEventListener('click', () => zoom(1 / 1.5));
  $('zoom-reset').addEventListener('click', reset);
  const choose = () => visit({ view: 'map', map: $('map-kind').value, color: $('color').value }, { replace: true });
  for (const control of [$('map-kind'), $('color')]) control.addEventListener('change', choose);
  $('pictures').addEventListener('change', redraw);
  document.addEventListener('selected', redraw);
  new ResizeObserver(redraw).observe(canvas);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    stamps.radius = 0;
    if (points) drawKey();
    redraw();
  });
}

function setUpPointers(search) {
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || !points) return;
    canvas.setPointerCapture(event.pointerId);
    pressed.set(event.pointerId, { x: event.offsetX, y: event.offsetY, startX: event.offsetX, startY: event.offsetY });
    moved = pressed.size > 1;
    const draws = event.shiftKey || $('lasso').getAttribute('aria-pressed') === 'true';
    lasso = draws && !moved ? [camera.toMap(event.offsetX, event.offsetY)] : null;
  });
  canvas.addEventListener('pointermove', (event) => {
    const pointer = pressed.get(event.pointerId);
    if (!pointer) return void pointAt(under(event));
    const before = grip();
    Object.assign(pointer, { x: event.offsetX, y: event.offsetY });
    moved ||= Math.hypot(pointer.x - pointer.startX, pointer.y - pointer.startY) > 5;
    if (lasso) drawAround(camera.toMap(pointer.x, pointer.y));
    else if (moved) drag(before, grip());
  });
  canvas.addEventListener('pointerup', (event) => {
    if (!pressed.delete(event.pointerId)) return;
    const drawn = lasso;
    lasso = null;
    if (drawn && moved) selectWithin(drawn);
    if (moved) return;
    const before = current;
    pointAt(under(event));
    if (drawn) toggleSelected();
    else if (current === before || event.pointerType !== 'touch') search(); // a finger looks first, then chooses
  });
  canvas.addEventListener('pointercancel', (event) => {
    pressed.delete(event.pointerId);
    lasso = null;
  });
  canvas.addEventListener('pointerleave', (event) => event.pointerType !== 'touch' && pointAt(-1));
  canvas.addEventListener('blur', () => pointAt(-1));
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.offsetX, event.offsetY);
  }, { passive: false });
}

function setUpKeys(search) {
  const keys = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, 1), ArrowDown: () => step(0, -1),
    '+': () => zoom(1.5), '=': () => zoom(1.5), '-': () => zoom(1 / 1.5), 0: reset, Enter: search, ' ': toggleSelected,
    Escape: () => pointAt(-1),
  };
  canvas.addEventListener('keydown', (event) => {
    if (!points || !Object.hasOwn(keys, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
}

export async function showMap(state, info, options) {
  if (!known) {
    say('Loading …');
    known = await getMap(options);
    $('atlas').hidden = false;
    $('map-control').hidden = !known.look;
    entriesOf(known).forEach(remember);
  }
  $('map-kind').value = state.map === 'look' && known.look ? 'look' : '';
  $('color').value = Object.hasOwn(GROUPS, state.color) ? state.color : '';
  arrange($('map-kind').value, $('color').value);
  pointAt(-1);
  redraw();
  say(`${count(known.keys.length, 'image')}, ${count(known.classes.filter(isClass).length, 'class', 'classes')}`);
}

/** What the map knows of each image. */
function entriesOf({ classes, keys, labels, splits, findings }) {
  const entries = keys.map((key, i) => ({ key, label: classes[labels[i]], split: splits[i], findings: [] }));
  for (const [kind, places] of Object.entries(findings)) for (const i of places) entries[i].findings.push(kind);
  return entries;
}

/** Have the points where a layout places them, in the colors of a coloring. */
function arrange(layout, coloring) {
  if (shown === `${layout} ${coloring}` && points) return;
  const isMoved = !points || !shown.startsWith(`${layout} `);
  shown = `${layout} ${coloring}`;
  if (isMoved) {
    const { x, y } = layout ? known.look : known;
    points = new Points(known.keys, x, y);
    mosaic = new Mosaic(points, redraw);
  }
  points.group(...GROUPS[coloring](known));
  stamps.radius = 0;
  mosaic.regroup();
  drawKey();
  if (isMoved) reset();
}

/** The groups that points are colored by: their names, and for each point the position of its own. */
const GROUPS = {
  '': ({ classes, labels }) => [classes, labels],
  split: ({ splits }) => grouped(splits.map((split) => split ?? 'No split'), 'No split'),
  finding: ({ keys, findings }) => {
    const kinds = keys.map(() => 'No finding');
    for (const [kind, places] of Object.entries(findings).reverse()) for (const i of places) kinds[i] = titleOfFinding(kind);
    return grouped(kinds, 'No finding');
  },
};

function grouped(names, neutral) {
  const sizes = new Map();
  for (const name of names) sizes.set(name, (sizes.get(name) ?? 0) + 1);
  const order = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a));
  return [order, names.map((name) => order.indexOf(name)), order.indexOf(neutral)];
}

function drawKey() {
  const changed = () => {
    mosaic.regroup();
    redraw();
  };
  drawLegend(points, changed, (group) => {
    emphasized = group;
    redraw();
  });
}

// Moving

/** The point whose picture or mark is under a pointer, or -1. */
function under({ offsetX, offsetY, pointerType }) {
  if (!points) return -1;
  const picture = showsPictures() ? mosaic.at(offsetX, offsetY) : -1;
  return picture >= 0 ? picture : points.nearest(...camera.toMap(offsetX, offsetY), (REACH[pointerType] ?? REACH.mouse) / camera.scale);
}

const showsPictures = () => $('pictures').checked;

function zoom(factor, x, y) {
  camera.zoomBy(factor, x, y);
  redraw();
}

function move(x, y) {
  camera.moveBy(x, y);
  redraw();
}

function reset() {
  if (!points) return;
  camera.showAll(points);
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
  move((before.x - after.x) / camera.scale, (after.y - before.y) / camera.scale);
  if (before.spread && after.spread) zoom(after.spread / before.spread, after.x, after.y);
}

/** By keyboard, to the next point in a direction, which comes into sight and is said; at first, to the middle. */
function step(right, up) {
  const next = current < 0 ? points.nearest(camera.x, camera.y) : points.towards(current, right, up);
  if (next < 0) return;
  pointAt(next);
  const [x, y] = [points.x[next], points.y[next]];
  if (!camera.sees(x, y)) move(x - camera.x, y - camera.y);
  say(`${points.keys[next]}, ${points.names[points.numbers[next]]}`);
}

// Selecting

function drawAround(place) {
  lasso.push(place);
  pointAt(-1);
  redraw();
}

function selectWithin(polygon) {
  const found = points.within(polygon).map((i) => points.keys[i]);
  select(found);
  say(`${count(found.length, 'image')} selected`);
  redraw();
}

function toggleSelected() {
  if (current < 0) return;
  const key = points.keys[current];
  select([key], !isSelected(key));
  say(`${key} ${isSelected(key) ? 'selected' : 'not selected any more'}`);
}

// Drawing

function redraw() {
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  if (!points || !canvas.clientWidth) return;
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, width, height);
  drawMarks(ratio, width, height);
  pen.globalAlpha = 1;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (showsPictures()) drawPictures();
  drawSelected();
  if (lasso) drawLasso();
  placeTooltip();
}

function drawMarks(ratio, width, height) {
  const { x, y, members, hidden } = points;
  const { marks } = stampsFor(ratio);
  const size = marks[0]?.width;
  const [perUnit, left, top] = [camera.scale * ratio, (width - size) / 2, (height - size) / 2];
  const order = [...members.keys()].sort((a, b) => (a === emphasized) - (b === emphasized));
  for (const group of order.filter((each) => !hidden.has(each))) {
    pen.globalAlpha = emphasized < 0 || emphasized === group ? 0.9 : 0.12;
    for (const i of members[group]) {
      const atX = Math.round(left + (x[i] - camera.x) * perUnit);
      const atY = Math.round(top - (y[i] - camera.y) * perUnit);
      if (atX < -size || atY < -size || atX > width || atY > height) continue;
      pen.drawImage(marks[group], atX, atY);
    }
  }
}

/** The groups' marks in the size that suits the number of points and the zoom. */
function stampsFor(ratio) {
  const small = Math.min(1, canvas.clientWidth / 700) * Math.max(2, 4.5 - points.keys.length / 5000);
  const radius = Math.round(4 * ratio * Math.min(9, Math.max(1.5, small) * camera.zoom ** 0.3)) / 4;
  if (radius !== stamps.radius) {
    const { marks } = points;
    stamps = { radius, marks: marks.map((mark) => stamp(mark, radius)), colors: marks.map(colorOf), text: color('--text') };
  }
  return stamps;
}

function drawPictures() {
  const { scale, zoom: zoomed, width, height } = camera;
  const [left, top] = camera.toScreen(0, 0); // once, and not for each of many points
  mosaic.draw(pen, {
    place: (i) => [left + points.x[i] * scale, top - points.y[i] * scale],
    frame: (i) => (isSelected(points.keys[i]) ? [stamps.text, 4] : [stamps.colors[points.numbers[i]], 2]),
    scale, zoom: zoomed, width, height,
  });
}

function drawSelected() {
  pen.strokeStyle = stamps.text;
  pen.lineWidth = 2;
  for (let i = 0; i < points.keys.length; i += 1) {
    if (!isSelected(points.keys[i]) || !points.shows(i) || (showsPictures() && mosaic.shows(i))) continue;
    pen.beginPath();
    pen.arc(...camera.toScreen(points.x[i], points.y[i]), 7, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function drawLasso() {
  pen.beginPath();
  for (const place of lasso) pen.lineTo(...camera.toScreen(...place));
  pen.closePath();
  pen.strokeStyle = pen.fillStyle = color('--accent');
  pen.lineWidth = 2;
  pen.stroke();
  pen.globalAlpha = 0.12;
  pen.fill();
  pen.globalAlpha = 1;
}

// Tooltip

function pointAt(i) {
  if (i === current) return;
  current = i;
  canvas.classList.toggle('pointing', i >= 0);
  clearTimeout(delayed);
  if (i >= 0) {
    const empty = element('span', { className: 'picture' });
    const label = element('b', {}, points.names[points.numbers[i]]);
    $('point').replaceChildren(empty, label, element('span', {}, ...breakable(points.keys[i])));
    delayed = setTimeout(() => empty.replaceWith(thumbnail(points.keys[i])), 60); // not for all that are passed
  }
  placeTooltip();
}

function placeTooltip() {
  const [ring, tooltip] = [$('ring'), $('point')];
  ring.hidden = tooltip.hidden = current < 0;
  if (current < 0) return;
  const [x, y] = camera.toScreen(points.x[current], points.y[current]);
  const [width, height] = [tooltip.offsetWidth, tooltip.offsetHeight];
  const left = x + 16 + width > canvas.clientWidth ? x - 16 - width : x + 16;
  const top = Math.min(canvas.clientHeight - height - 4, y - height / 2);
  ring.style.translate = `${x}px ${y}px`;
  tooltip.style.translate = `${Math.max(4, left)}px ${Math.max(4, top)}px`;
}
