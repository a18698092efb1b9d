// The viewer: one image, large, next to the query it was found for. Both are zoomed and moved together, to compare details.

import { fileUrl, getFindings, thumbnailUrl } from './api.js';
import { isClass, picture, titleOfFinding } from './cards.js';
import { copyPaths } from './download.js';
import { $, breakable, button, element, onKeys } from './dom.js';
import { followPointers } from './gestures.js';
import { reviewAll } from './findings.js';
import { isSelected, select } from './selection.js';
import { settings } from './settings.js';
import { shade, unshade } from './why.js';

const MOST_ZOOM = 20;

const dialog = $('viewer');
const panes = $('viewer-panes');
let list = null;   // what is looked through: { total, entry(i), focus(i) }
let place = 0;
let query = null;  // { name, source, entry, asked } of the query, if there is one
let wish = null;   // asks for more or less like an image, where that can be done
let entry = null;  // what is shown
let view = { zoom: 1, x: 0, y: 0 };
let isTwo = true;
let isWhy = false; // whether it is shown where the likeness comes from

export function setUpViewer(visit) {
  const search = () => {
    dialog.close();
    visit({ ...settings(), view: 'search', key: [entry.key] });
  };
  const toggle = () => {
    select([entry.key], !isSelected(entry.key));
    drawFacts(search, toggle);
  };
  $('viewer-close').addEventListener('click', () => dialog.close());
  $('viewer-back').addEventListener('click', () => show(place - 1));
  $('viewer-next').addEventListener('click', () => show(place + 1));
  $('viewer-zoom').addEventListener('click', () => zoomBy(view.zoom > 1 ? 0 : 3));
  $('viewer-two').addEventListener('click', showTwo);
  $('viewer-why').addEventListener('click', () => showWhy(!isWhy));
  dialog.addEventListener('click', ({ detail, target }) => detail && target.closest('.bar, .step') && panes.focus());
  dialog.addEventListener('close', () => list.focus?.(place));
  dialog.addEventListener('shown', () => drawFacts(search, toggle));
  onKeys(dialog, {
    ArrowLeft: () => show(place - 1), ArrowRight: () => show(place + 1), Home: () => show(0), End: () => show(list.total - 1),
    ' ': () => dialog.close(), '+': () => zoomBy(1.5), '=': () => zoomBy(1.5), '-': () => zoomBy(1 / 1.5), 0: () => zoomBy(0),
    s: showTwo, w: ({ repeat }) => repeat || showWhy(true), x: toggle, Enter: search,
  }, ({ key, target }) => ![' ', 'Enter'].includes(key) || !target.matches('button, a'));
  dialog.addEventListener('keyup', ({ key }) => key.toLowerCase() === 'w' && showWhy(false));
  followPointers(panes, {
    move: (before, after) => {
      if (view.zoom > 1) Object.assign(view, { x: view.x + after.x - before.x, y: view.y + after.y - before.y });
      zoomBy(before.spread && after.spread ? after.spread / before.spread : 1, after);
    },
    end: (event, { moved, right, rest }) => {
      if (moved && !rest && view.zoom === 1 && Math.abs(right) > 60) show(place - Math.sign(right));
    },
  });
  panes.addEventListener('dblclick', (event) => zoomBy(view.zoom > 1 ? 0 : 3, at(event)));
  panes.addEventListener('wheel', (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), at(event));
  }, { passive: false });
}

const at = ({ clientX, clientY }) => {
  const { left, top } = panes.getBoundingClientRect();
  return { x: clientX - left, y: clientY - top };
};

/** Look at the image at a place of a list, next to a query if there is one. */
export function openViewer(from, i, { query: of = null, wish: ask = null } = {}) {
  [list, query, wish] = [from, of, ask];
  if (!dialog.open) dialog.showModal();
  panes.focus(); // and not one of the buttons, which would take Enter and Space
  $('viewer-two').hidden = !query;
  return show(i);
}

async function show(i) {
  if (i < 0 || i >= list.total) return;
  place = i;
  const found = await list.entry(i).catch(() => null);
  if (place !== i || !found) return;
  entry = found;
  view = { zoom: 1, x: 0, y: 0 };
  $('viewer-place').textContent = list.total > 1 ? `${(i + 1).toLocaleString('en')} of ${list.total.toLocaleString('en')}` : '';
  $('viewer-back').hidden = i === 0;
  $('viewer-next').hidden = i + 1 >= list.total;
  const isQuery = query?.entry?.key === entry.key;
  panes.replaceChildren(...[query && isTwo && !isQuery ? pane(query, 'Query') : null, pane({ entry, name: entry.key }, 'Image')].filter(Boolean));
  $('viewer-why').hidden = !query || isQuery;
  showWhy(isWhy);
  dialog.dispatchEvent(new Event('shown'));
  if (i + 1 < list.total) list.entry(i + 1).then(({ key }) => (new Image().src = fileUrl(key)), () => {});
}

function showWhy(on) {
  isWhy = on;
  $('viewer-why').setAttribute('aria-pressed', String(isWhy));
  unshade(panes);
  if (isWhy && !$('viewer-why').hidden) shade([...panes.children], query.asked, entry.key);
}

function showTwo() {
  isTwo = !isTwo;
  $('viewer-two').setAttribute('aria-pressed', String(isTwo));
  show(place);
}

/** The file itself, over its thumbnail as long as it loads; where the browser cannot show it, a picture made by the server. */
function pane({ entry: of, source, name }, kind) {
  const image = picture(source ?? fileUrl(of.key), { className: 'picture large', alt: `${kind}: ${name}` }, 'No preview of this format');
  if (of) {
    image.style.backgroundImage = `url("${thumbnailUrl(of)}")`;
    image.addEventListener('load', () => (image.style.backgroundImage = ''), { once: true });
    image.addEventListener('error', (event) => {
      event.stopImmediatePropagation();
      image.src = thumbnailUrl(of, 1024);
    }, { once: true, capture: true });
  }
  return element('figure', {}, image, kind === 'Query' ? element('figcaption', {}, 'Query') : null);
}

function zoomBy(factor, { x, y } = { x: panes.clientWidth / panes.childElementCount / 2, y: panes.clientHeight / 2 }) {
  const [width, height] = [panes.clientWidth / panes.childElementCount, panes.clientHeight];
  const zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor));
  const share = zoom / view.zoom;
  const moved = (from, to, side) => Math.max(-1, Math.min(1, (to - (to - from) * share) / ((zoom - 1) * side / 2 || 1))) * (zoom - 1) * side / 2;
  view = { zoom, x: moved(view.x, (x % width) - width / 2, width), y: moved(view.y, y - height / 2, height) };
  for (const image of panes.querySelectorAll('.large')) image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${zoom})`;
  $('viewer-zoom').textContent = zoom > 1 ? `${zoom.toFixed(1)} ×` : 'Zoom';
}

async function drawFacts(search, toggle) {
  if ($('viewer-facts').contains(document.activeElement)) panes.focus(); // what has the focus goes
  const { key, label, split, width, height, findings = [], likeness, words } = entry;
  const facts = [isClass(label) && label, split, width && `${width} × ${height}`,
    likeness !== undefined && `likeness ${likeness}${words ? ` (${words})` : ''}`].filter(Boolean).join(' · ');
  const notes = element('ul', { role: 'list', className: 'notes' }, ...findings.map((kind) => element('li', {}, titleOfFinding(kind))));
  const wishes = wish ? [['More', 'like'], ['Less', 'unlike']].map(([name, kind]) => button(`${name} like this`, () => {
    dialog.close();
    wish(kind, key);
  })) : [];
  $('viewer-facts').replaceChildren(
    element('p', {}, element('b', {}, ...breakable(key)), ' ', element('span', { className: 'facts' }, facts)), notes,
    element('div', { className: 'actions' }, button('Search with this', search, { className: 'button strong' }), ...wishes,
      button(isSelected(key) ? 'Deselect' : 'Select', toggle),
      button('Correct the label', async () => {
        const { findings: found } = await getFindings({ key, size: 20 });
        dialog.close();
        const own = found.filter((each) => each.key === key);
        reviewAll(own.length ? own : [{ kind: null, key, label, indexed: true }]);
      }),
      button('Copy path', () => copyPaths([key])),
      element('a', { href: fileUrl(key), target: '_blank', rel: 'noopener', className: 'button' }, 'Original')));
}
