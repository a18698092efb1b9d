// A part of the query's picture as the query: drawn with the mouse or a finger, moved and resized by its corner or by keys.
// A region is [x, y, width, height], as shares of the picture.

import { button, element, say } from './dom.js';

const LEAST = 0.05; // side of a region, as a share
const STEP = 0.02;  // of an arrow key
const FIRST = [0.25, 0.25, 0.5, 0.5]; // for those who have no pointer

const clamp = (value, most, least = 0) => Math.min(most, Math.max(least, value));

const parseRegion = (text) => (text ? text.split(',').map(Number) : null);
const format = (region) => region.map((share) => Number(share.toFixed(4))).join(',');
const percent = (share) => `${Math.round(100 * share)} %`;

/**
 * Let a region be chosen on a picture. `change` is called with it as text, or with '' for all of the picture. Gives what to
 * show in place of the picture, the buttons to show beneath, and what to call when the region is another.
 */
export function regionChooser(image, change) {
  let region = null;
  let start = null; // of a drag: where, what it does, and the region before
  const corner = element('span', { className: 'corner' });
  const frame = element('div', { className: 'region', tabIndex: 0, role: 'group', 'aria-roledescription': 'region' }, corner);
  const stage = element('div', { className: 'stage' }, image, frame);

  const draw = () => {
    frame.hidden = !region;
    stage.classList.toggle('has-region', Boolean(region));
    go.hidden = !stage.classList.contains('choosing');
    toggle.textContent = region ? 'Use whole image' : 'Select a region';
    if (!region) return;
    const [x, y, width, height] = region;
    Object.assign(frame.style, { left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * width}%`, height: `${100 * height}%` });
    frame.setAttribute('aria-label', `Region from ${percent(x)} across and ${percent(y)} down, ${percent(width)} wide and `
      + `${percent(height)} high. Arrow keys move it, with Shift they resize it; Enter searches, Escape uses the whole image.`);
  };
  const placeOf = ({ clientX, clientY }) => {
    const { left, top, width, height } = image.getBoundingClientRect();
    return [clamp((clientX - left) / width, 1), clamp((clientY - top) / height, 1)];
  };
  const finish = () => {
    stage.classList.remove('choosing');
    draw();
    change(region ? format(region) : '');
  };
  const clear = () => {
    region = null;
    if (document.activeElement === frame) toggle.focus();
    finish();
  };

  stage.addEventListener('pointerdown', (event) => {
    const isDrawing = event.pointerType !== 'touch' || stage.classList.contains('choosing') || event.target !== image;
    if (event.button !== 0 || !isDrawing || !image.isConnected || image.tagName !== 'IMG') return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    const act = event.target === corner ? resize : event.target === frame ? moveBy : span;
    start = { at: placeOf(event), act, region };
  });
  stage.addEventListener('pointermove', (event) => {
    if (!start) return;
    region = start.act(start, placeOf(event));
    draw();
  });
  stage.addEventListener('pointerup', (event) => {
    if (!start) return;
    const { region: before } = start;
    start = null;
    if (region && (region[2] < LEAST || region[3] < LEAST)) region = before; // a click, not a drag
    draw();
    if (region !== before && event.pointerType !== 'touch') finish(); // a finger may still move it
  });
  stage.addEventListener('pointercancel', () => {
    if (start) region = start.region;
    start = null;
    draw();
  });
  frame.addEventListener('keydown', (event) => {
    const arrows = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    if (Object.hasOwn(arrows, event.key)) {
      const [x, y] = arrows[event.key];
      region = event.shiftKey ? resizedBy(region, x, y) : movedBy(region, x, y);
      draw();
    } else if (event.key === 'Enter') finish();
    else if (event.key === 'Escape') clear();
    else return;
    event.preventDefault();
  });

  const choose = () => {
    region = FIRST;
    stage.classList.add('choosing');
    draw();
    frame.focus();
    say('Draw a frame on the picture, or move this one, then choose Search.');
  };
  const toggle = button('', () => (region ? clear() : choose()));
  const go = button('Search', finish, { className: 'button strong' });
  const show = (text) => {
    region = parseRegion(text);
    draw();
  };
  const fit = () => stage.style.setProperty('--ratio', image.naturalWidth / image.naturalHeight);
  image.addEventListener('load', fit);
  image.addEventListener('error', () => (toggle.hidden = true)); // nobody chooses a part of what is not seen
  show('');
  return { stage, tools: [go, toggle], show };
}

const span = ({ at: [x, y] }, [toX, toY]) => [Math.min(x, toX), Math.min(y, toY), Math.abs(toX - x), Math.abs(toY - y)];
const moveBy = ({ at: [x, y], region }, [toX, toY]) => movedBy(region, toX - x, toY - y);
const resize = ({ at: [x, y], region }, [toX, toY]) => resizedBy(region, toX - x, toY - y);

const movedBy = ([x, y, width, height], right, down) =>
  [clamp(x + right, 1 - width), clamp(y + down, 1 - height), width, height];

const resizedBy = ([x, y, width, height], right, down) =>
  [x, y, clamp(width + right, 1 - x, LEAST), clamp(height + down, 1 - y, LEAST)];
