// The legend of the map: groups, each of which can be hidden, and is emphasized while it is pointed at.

import { $, button, element } from './dom.js';
import { stamp } from './marks.js';

/** `changed` is called when groups are hidden or shown, `emphasize` with the group that is pointed at, or -1. */
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
