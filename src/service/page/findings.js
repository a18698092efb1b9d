// The view of what the audit has found, and the words for a finding.

import { getFindings } from './api.js';
import { write } from './address.js';
import { begin, breakable, finish, thumbnail, titleOfFinding } from './cards.js';
import { $, count, element, say } from './dom.js';
import { goOn, stop } from './endless.js';
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
  begin($('found-findings'), SIZE);
  stop($('more-findings'));
  say('Loading …');
  const size = SIZE * Math.max(1, Math.min(12, Math.ceil((options.shown ?? 0) / SIZE)));
  const first = await getFindings({ kind: state.kind, page: 1, size }, options);
  drawKinds(state, first);
  finish($('found-findings'), first.findings.map(findingCard));
  say(first.findings.length ? count(first.total, 'finding') : nothingFound(first));
  let page = size / SIZE;
  if (first.total > first.findings.length) {
    goOn($('more-findings'), async () => {
      page += 1;
      const next = await getFindings({ kind: state.kind, page, size: SIZE }, options);
      $('found-findings').append(...next.findings.map(findingCard));
      return next.page < next.pages;
    }, options.signal);
  }
}

const nothingFound = ({ audited }) =>
  (audited ? 'The audit has found nothing.' : 'The data have not been audited: run `dvc repro audit`.');

function drawKinds({ kind }, { counts }) {
  const all = counts.reduce((sum, { findings }) => sum + findings, 0);
  const chip = (name, value, findings) => element('a',
    { href: write({ view: 'findings', kind: value }), className: 'chip', ...(value === kind && { 'aria-current': 'true' }) },
    name, ' ', element('span', {}, findings.toLocaleString('en')));
  $('kinds').replaceChildren(chip('All', '', all), ...counts.map((each) => chip(titleOfFinding(each.kind), each.kind, each.findings)));
}

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
