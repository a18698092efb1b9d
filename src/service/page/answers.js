// The answer in words: what the query seems to be, whether it is indexed itself, and what to do if nothing is like it.

import { isClass } from './cards.js';
import { write } from './address.js';
import { $, breakable, button, count, element, say } from './dom.js';

const JUDGED = 10; // of the most similar images, by which the class is judged

/** Draw the answer; `label` is the class of the query, if it has one. */
export function drawAnswer({ answer, query, similar, novelty }, state, label) {
  const { neighbors, matches, milliseconds } = answer;
  const lines = [];
  const same = neighbors[0].words === 'same picture' && !state.region ? neighbors[0] : null;
  if (same) {
    lines.push([query.key ? 'The same picture is indexed again as ' : 'This very picture is indexed as ',
      element('a', { href: write({ ...state, upload: [], key: [same.key] }) }, ...breakable(same.key)), '.']);
  }
  if (!similar) lines.push([state.region ? `No close match for this region. ${nearness(novelty)}` : `No close match. ${nearness(novelty)}`]);
  else if (!state.label) lines.unshift(verdict(neighbors.slice(0, JUDGED), label));
  $('answer').replaceChildren(...lines.filter(Boolean).map((line) => element('p', {}, ...line)));
  say(`${count(matches, 'image')} by likeness (${milliseconds.toFixed(2)} ms)`);
}

/** What the nearest images are, and how many of them: "skirt: 9 of 10". */
function verdict(nearest, label) {
  const sizes = new Map();
  for (const each of nearest) if (isClass(each.label)) sizes.set(each.label, (sizes.get(each.label) ?? 0) + 1);
  if (!sizes.size) return null;
  const [name, size] = [...sizes].sort((a, b) => b[1] - a[1])[0];
  const but = isClass(label) && name !== label ? element('span', { className: 'surprise' }, ` This image is labeled ${label}.`) : null;
  return [element('b', {}, name), `: ${size} of ${nearest.length}`, ...(but ? [but] : [])];
}

function nearness(novelty) {
  if (!novelty) return '';
  const { distance, max_distance: most } = novelty;
  if (distance <= most) return '';
  return distance <= 1.15 * most ? 'The nearest image is just outside the limit.' : 'The nearest image is far outside the limit.';
}

/** What to say in place of results, and what to do about it. */
export function drawNothing({ similar, novelty }, { showAnyway, widen }) {
  const parts = similar
    ? [element('h3', {}, 'Nothing found'), element('p', {}, 'No other image has the chosen class, split or finding.'),
      button('Search all images', widen, { className: 'button strong' })]
    : [element('h3', {}, 'No close match'), element('p', {}, nearness(novelty)),
      button('Show the nearest anyway', showAnyway, { className: 'button strong' })];
  $('answer').replaceChildren(element('div', { className: 'nothing' }, ...parts));
  say(similar ? 'Nothing found.' : 'No close match');
}
