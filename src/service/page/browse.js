// The browse view: thumbnails of all images, of a class, of a split, with a finding, or with a name.

import { getImages } from './api.js';
import { card, isClass } from './cards.js';
import { $, button, count, say } from './dom.js';
import { Grid } from './grid.js';
import { filters, settings, setUpFilters, showFilters } from './settings.js';
import { openViewer } from './viewer.js';

const SIZE = 120;

const grid = new Grid($('images'), { size: SIZE, open: openViewer, draw: (image) => card(image, { ...settings(), label: '', split: '', finding: '' }) });
let current = {}; // the state that is shown
let folders = []; // [place of the first image, name], of what is shown, where one can jump to classes

export function setUpBrowse(info, counts, visit) {
  const change = (delay) => visit({ ...current, ...filters('browse-'), name: $('name').value.trim() }, { replace: true, delay });
  setUpFilters('browse-', info, counts, () => change(0));
  $('name').addEventListener('input', () => change(200));
  $('narrow').addEventListener('submit', (event) => event.preventDefault());
  $('jump').addEventListener('input', () => {
    grid.scrollTo(Number($('jump').value), $('narrow').offsetHeight + 8);
    showPlace(Number($('jump').value));
  });
  addEventListener('scroll', () => {
    if (!$('browse').hidden && grid.total && document.activeElement !== $('jump')) showPlace(grid.firstInSight);
  }, { passive: true });
}

function showPlace(i) {
  const place = Math.min(i, grid.total - 1);
  const folder = folders.findLast(([first]) => first <= place)?.[1];
  $('jump').value = place;
  $('jump-value').value = [isClass(folder) && folder, (place + 1).toLocaleString('en')].filter(Boolean).join(' · ');
  $('jump').setAttribute('aria-valuetext', `Image ${$('jump-value').value}`);
}

export async function showBrowse(state, { data }, { signal, commit, visit }) {
  const { label, split, finding, name } = state;
  const get = (page, options) => getImages({ label, split, finding, name, page, size: SIZE }, options);
  const { images, total } = await get(1, { signal });
  commit();
  current = state;
  showFilters('browse-', state);
  if (document.activeElement !== $('name')) $('name').value = name;
  folders = [];
  if (!label && !split && !finding && !name) {
    let first = 0;
    for (const folder of data.classes) {
      folders.push([first, folder.name]);
      first += folder.images;
    }
  }
  $('jump').max = Math.max(0, total - 1);
  $('jump-control').hidden = total <= SIZE;
  grid.show(total, async (page) => (await get(page)).images, images);
  if (total) showPlace(0);
  say(total ? count(total, 'image') : 'No image is like that.');
  if (!total) $('status').append(' ', button('Show all images', () => visit({ view: 'browse' })));
}
