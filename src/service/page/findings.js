// The view of what the audit has found, and the words for a finding.

import { getFindings } from './api.js';
import { write } from './address.js';
import { breakable, drawChips, thumbnail, titleOfFinding } from './cards.js';
import { $, count, element, say } from './dom.js';
import { showPages } from './endless.js';
import { settings } from './settings.js';

const SIZE = 40;

const linkTo = (key, ...children) => element('a', { href: write({ ...settings(), view: 'search', key: [key] }) }, ...children);

/** The words for a finding about an image that is shown; of a pair, the other one is linked. */
export function describeFinding({ kind, key, other, explanation }, about) {
  const partner = other && (about === key ? other : key);
  const words = partner ? [' of ', linkTo(partner, ...breakable(partner))] : [`: ${explanation}`];
  return [element('b', {}, titleOfFinding(kind)), ...words];
}

export async function showFindings(state, info, options) {
  const get = (page, size) => getFindings({ kind: state.kind, page, size }, options);
  const draw = ({ findings }) => findings.map(findingCard);
  const first = await showPages($('found-findings'), $('more-findings'), SIZE, get, draw, options);
  const all = first.counts.reduce((sum, { findings }) => sum + findings, 0);
  const chips = first.counts.map(({ kind, findings }) => [titleOfFinding(kind), kind, findings]);
  drawChips($('kinds'), [['All', '', all], ...chips], state.kind, (kind) => write({ view: 'findings', kind }));
  say(first.total ? count(first.total, 'finding') : nothingFound(first));
}

const nothingFound = ({ audited }) =>
  (audited ? 'The audit has found nothing.' : 'The data have not been audited: run `dvc repro audit`.');

function findingCard(finding) {
  const { kind, key, label, other, other_label: otherLabel, indexed, explanation } = finding;
  const side = (name, itsLabel, isShown) => (isShown
    ? linkTo(name, thumbnail(name, { loading: 'lazy' }), element('span', { className: 'class' }, itsLabel),
      element('span', { className: 'key' }, ...breakable(name)))
    : element('span', { className: 'side' }, element('span', { className: 'key' }, ...breakable(name))));
  const sides = [key && side(key, label, indexed), other && side(other, otherLabel, true)].filter(Boolean);
  return element('li', { className: sides.length > 1 ? 'finding-card pair' : 'finding-card' },
    element('p', {}, element('b', {}, titleOfFinding(kind)), ' ', explanation),
    element('div', { className: 'sides' }, ...(sides.length ? sides : [element('b', {}, label ?? '')])));
}
