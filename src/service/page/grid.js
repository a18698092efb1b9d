// A grid of any number of pictures, of which only those near the screen are in the document.

import { complain, element, onKeys } from './dom.js';

const AHEAD = 600;  // pixels above and below the screen that are kept ready
const SETTLE = 60;  // milliseconds without scrolling before pages that are passed are asked for
const GAP = 6;      // pixels between pictures
const CAPTION = 26; // pixels for the line below a picture

const grids = new Set();

export class Grid {
  /** `draw` makes the list item of an entry; `open` is called with this grid and the place of an image that is clicked. */
  constructor(list, { draw, open = null, size = 60, scale = 1 }) {
    Object.assign(this, { list, draw, open, size, scale, total: 0, pages: new Map(), items: new Map(), waiting: 0, columns: 1 });
    list.grid = this;
    grids.add(this);
    new ResizeObserver(() => this.layOut()).observe(list);
  }

  /** Show `total` entries: `get` promises those of a page, from 1. The `first` page is there already. */
  show(total, get, first) {
    Object.assign(this, { total, get, pages: new Map([[1, first]]) });
    this.items.clear();
    this.list.replaceChildren();
    this.layOut();
  }

  showAll(entries) {
    this.show(entries.length, null, entries);
  }

  /** The entries of the page with a place: a promise, until they have come. */
  page(i) {
    const page = this.get ? 1 + Math.floor(i / this.size) : 1;
    const { pages } = this;
    if (!pages.has(page)) {
      pages.set(page, this.get(page).then((entries) => pages.set(page, entries) && entries, (error) => {
        pages.delete(page);
        throw error;
      }));
    }
    return pages.get(page);
  }

  /** What the entry at a place is, as soon as it is known. */
  async entry(i) {
    return (await this.page(i))[this.get ? i % this.size : i];
  }

  entries(from, to) {
    return Promise.all(Array.from({ length: to - from + 1 }, (_, i) => this.entry(from + i)));
  }

  layOut() {
    const { list, total, scale } = this;
    const width = list.clientWidth;
    if (!width) return;
    const wanted = scale * Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--size'));
    const [before, first] = [this.columns, this.items.size ? this.firstInSight : 0];
    this.columns = Math.max(1, Math.round((width + GAP) / (wanted + GAP)));
    this.cell = (width - GAP * (this.columns - 1)) / this.columns;
    this.row = this.cell + GAP + (list.classList.contains('bare') ? 0 : CAPTION);
    list.style.height = `${Math.ceil(total / this.columns) * this.row}px`;
    for (const [i, item] of this.items) this.place(item, i);
    if (first && this.columns !== before) this.scrollTo(first); // what one looks at stays in sight
    else this.render();
  }

  /** Have the items near the screen in the document, and no others. */
  render() {
    if (!this.row || !this.list.clientWidth) return;
    const { top } = this.list.getBoundingClientRect();
    const first = Math.max(0, Math.floor((-top - AHEAD) / this.row)) * this.columns;
    const end = Math.min(this.total, Math.max(0, Math.ceil((innerHeight + AHEAD - top) / this.row)) * this.columns);
    for (const [i, item] of this.items) {
      if (i >= first && i < end) continue;
      if (item.contains(document.activeElement)) continue; // it stays, so that the keyboard can go on from it
      item.remove();
      this.items.delete(i);
    }
    let next = this.list.firstElementChild;
    for (let i = first; i < end; i += 1) {
      while (next && Number(next.dataset.place) < i) next = next.nextElementSibling;
      if (this.items.has(i)) continue;
      const item = this.made(i);
      this.items.set(i, item);
      this.list.insertBefore(item, next);
    }
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.load(first, end), this.pages.size > 1 ? SETTLE : 0);
  }

  place(item, i) {
    const [column, row] = [i % this.columns, Math.floor(i / this.columns)];
    item.style.translate = `${column * (this.cell + GAP)}px ${row * this.row}px`;
    item.style.width = `${this.cell}px`;
    item.style.height = `${this.row - GAP}px`;
  }

  /** The entry at a place, as far as it is known; one is not asked for while it only passes. */
  peek(i) {
    const page = this.pages.get(this.get ? 1 + Math.floor(i / this.size) : 1);
    return Array.isArray(page) ? page[this.get ? i % this.size : i] : undefined;
  }

  made(i) {
    const entry = this.peek(i);
    const item = entry ? this.draw(entry, i) : element('li', { className: 'skeleton', tabIndex: -1 });
    item.dataset.place = i;
    this.place(item, i);
    item.setAttribute('aria-setsize', this.total);
    item.setAttribute('aria-posinset', i + 1);
    return item;
  }

  /** Ask for the pages of places that are in sight and not known, and draw what comes. */
  async load(first, end) {
    const { pages } = this;
    for (let i = first; i < end && this.get; i += this.size - (i % this.size)) {
      if (Array.isArray(this.page(i))) continue;
      try {
        await this.page(i);
        if (pages === this.pages) this.redraw((place) => Math.floor(place / this.size) === Math.floor(i / this.size));
      } catch (error) {
        if (pages === this.pages) complain(error.message, () => this.render());
        return;
      }
    }
  }

  /** Draw items again, all or some. */
  redraw(isMeant = () => true) {
    for (const [i, item] of this.items) {
      if (!isMeant(i)) continue;
      const drawn = this.made(i);
      const hadFocus = item.contains(document.activeElement);
      item.replaceWith(drawn);
      this.items.set(i, drawn);
      if (hadFocus) (drawn.querySelector('.card') ?? drawn).focus();
    }
  }

  /** Bring a place into sight. */
  scrollTo(i, margin = 80) {
    const { top } = this.list.getBoundingClientRect();
    scrollTo(0, scrollY + top + Math.floor(i / this.columns) * this.row - margin);
    this.render();
  }

  focus(i) {
    if (i < 0 || i >= this.total) return;
    const { top } = this.list.getBoundingClientRect();
    const at = top + Math.floor(i / this.columns) * this.row;
    if (at < 0 || at + this.row > innerHeight) this.scrollTo(i, at < 0 ? 80 : innerHeight - this.row - 40);
    const item = this.items.get(i);
    (item?.querySelector('.card') ?? item)?.focus({ preventScroll: true });
  }

  /** The first place in sight. */
  get firstInSight() {
    return Math.max(0, Math.ceil(-this.list.getBoundingClientRect().top / this.row)) * this.columns;
  }
}

/** In all grids, arrow keys go from card to card, and the size of the pictures can be chosen. */
export function setUpGrids(slider) {
  let frame = 0;
  const renderAll = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      for (const grid of grids) grid.render();
    });
  };
  addEventListener('scroll', renderAll, { passive: true });
  addEventListener('resize', renderAll);
  const resize = () => {
    document.documentElement.style.setProperty('--size', `${slider.value}px`);
    for (const grid of grids) grid.layOut();
  };
  slider.value = localStorage.getItem('size') ?? (innerWidth < 800 ? 120 : 190);
  slider.addEventListener('input', () => {
    localStorage.setItem('size', slider.value);
    resize();
  });
  resize();
  const placeOf = ({ target }) => Number(target.closest('[data-place]').dataset.place);
  const go = (to) => (event) => {
    const { grid } = event.target.closest('.grid');
    grid.focus(to(placeOf(event), grid));
  };
  onKeys(document, {
    ArrowLeft: go((i) => i - 1), ArrowRight: go((i) => i + 1), Home: go(() => 0), End: go((i, { total }) => total - 1),
    ArrowUp: go((i, { columns }) => i - columns), ArrowDown: go((i, { columns }) => i + columns), ' ': ({ target }) => target.click(),
  }, ({ target }) => target.closest?.('.grid') && target.matches('.card, .skeleton'));
  document.addEventListener('click', (event) => {
    const card = event.target.closest?.('.grid .card');
    const grid = card?.closest('.grid').grid;
    if (!grid?.open || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
    event.preventDefault();
    grid.open(grid, placeOf(event));
  });
}
