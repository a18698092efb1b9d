// The view of what the audit has found.

import { getFindings } from './api.js';
import { write } from './address.js';
import { drawChips, thumbnail, titleOfFinding } from './cards.js';
import { $, count, element, say } from './dom.js';
import { Grid } from './grid.js';
import { decisionOf, explain, openReview } from './review.js';

const SIZE = 60;

const grid = new Grid($('found-findings'), { draw: findingCard, open: openReview, size: SIZE, scale: 1.6 });

export async function showFindings(state, info, { signal, commit }) {
  const get = (page, options) => getFindings({ kind: state.kind, page, size: SIZE }, options);
  const first = await get(1, { signal });
  commit();
  const all = first.counts.reduce((sum, { findings }) => sum + findings, 0);
  const chips = first.counts.map(({ kind, findings }) => [titleOfFinding(kind), kind, findings]);
  drawChips($('kinds'), all ? [['All', '', all], ...chips] : [], state.kind, (kind) => write({ view: 'findings', kind }));
  grid.show(first.total, async (page) => (await get(page)).findings, first.findings);
  const nothing = first.audited ? 'Nothing suspicious was found.' : 'The data have not been audited: run `dvc repro audit`.';
  say(first.total ? count(first.total, 'finding') : nothing);
}

function findingCard(finding) {
  const { kind, key, label, other, indexed } = finding;
  const shown = [indexed && key, other].filter(Boolean);
  const decision = decisionOf(finding);
  return element('li', { className: decision ? 'decided' : '' },
    element('a', { className: 'card', href: write({ view: 'findings', kind }), title: explain(finding) },
      element('span', { className: 'pair' }, ...shown.map((each) => thumbnail({ key: each }, { alt: each })),
        shown.length ? null : element('span', { className: 'picture placeholder' }, key ?? label ?? '')),
      element('span', { className: 'line' }, element('b', {}, decision ? `✓ ${decision}` : titleOfFinding(kind)), ' ',
        element('span', {}, explain(finding)))));
}
