// The colors of the groups on the map, and its legend.

import { $, button, element } from './dom.js';

const COLORS = 8; // --class-0 … --class-7 in page.css; further groups get hues between these

/** A color of page.css, or any other, as [red, green, blue], 0…255, in the light or dark scheme that is in use. */
export function channels(name) {
  const probe = element('canvas', { width: 1, height: 1, style: `color: ${name.startsWith('--') ? `var(${name})` : name}` });
  document.body.append(probe);
  const brush = probe.getContext('2d');
  brush.fillStyle = getComputedStyle(probe).color;
  brush.fillRect(0, 0, 1, 1);
  probe.remove();
  return [...brush.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

export const color = (name) => `rgb(${channels(name).join(' ')})`;

/** The color of a group by its number; -1 is that of one that does not stand out. */
export function colorOf(number) {
  if (number < 0) return '--edge';
  return number < COLORS ? `--class-${number}` : `oklch(${number % 2 ? 0.5 : 0.7} 0.14 ${(number * 137.5) % 360})`;
}

/**
 * Draw the legend: groups, each of which can be hidden, and is emphasized while it is pointed at.
 * `changed` is called when groups are hidden or shown, `emphasize` with the group that is pointed at, or -1.
 */
export function drawLegend({ names, marks, members, hidden }, changed, emphasize) {
  const entries = names.map((name, group) => {
    const swatch = element('i', { className: 'swatch' });
    swatch.style.background = color(colorOf(marks[group]));
    const entry = element('button', { type: 'button', className: 'chip' },
      swatch, name, ' ', element('span', {}, members[group].length.toLocaleString('en')));
    entry.addEventListener('click', () => change(() => hidden.delete(group) || hidden.add(group)));
    entry.hidden = !members[group].length;
    for (const start of ['pointerenter', 'focus']) entry.addEventListener(start, () => emphasize(group));
    for (const end of ['pointerleave', 'blur']) entry.addEventListener(end, () => emphasize(-1));
    return entry;
  });
  const change = (make) => {
    make();
    entries.forEach((entry, group) => entry.setAttribute('aria-pressed', String(!hidden.has(group))));
    changed();
  };
  change(() => {});
  $('legend').replaceChildren(element('div', { className: 'chips' }, ...entries), element('div', { className: 'actions' },
    button('Show all', () => change(() => hidden.clear())),
    button('Hide all', () => change(() => members.forEach((_, group) => hidden.add(group))))));
}
