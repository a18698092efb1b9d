// Lists that go on: a button gives the next part, and presses itself when one scrolls down to it.

import { begin, finish } from './cards.js';
import { complain, say } from './dom.js';

const AHEAD = 400; // pixels before the button comes into sight
const MOST = 480;  // entries that are asked for at once, for those who come back to a long list

const watching = new WeakMap(); // button → what stops watching it

/**
 * Let a list go on by a button. `load` shows the next part and says whether there is more; it is not called any more once
 * `signal` is aborted. A button that is in sight from the start waits to be pressed.
 */
export function goOn(button, load, signal) {
  watching.get(button)?.();
  button.hidden = false;
  let [busy, inSight] = [false, true];
  const next = async () => {
    if (busy || signal.aborted) return;
    busy = true;
    button.setAttribute('aria-busy', 'true');
    try {
      button.hidden = !(await load());
    } catch (error) {
      if (!signal.aborted) complain(error.message);
    }
    button.removeAttribute('aria-busy');
    busy = false;
  };
  const observer = new IntersectionObserver((entries) => {
    const now = entries.at(-1).isIntersecting;
    if (now && !inSight) next();
    inSight = now;
  }, { rootMargin: `0px 0px ${AHEAD}px` });
  observer.observe(button);
  button.addEventListener('click', next);
  watching.set(button, () => {
    observer.disconnect();
    button.removeEventListener('click', next);
  });
}

/**
 * Fill a list page by page. `get` asks for a page of a size, `draw` makes the list's items of a reply; the first one is given
 * back.
 */
export async function showPages(list, button, size, get, draw, { signal, shown = 0 }) {
  begin(list, size);
  stop(button);
  say('Loading …');
  let page = Math.max(1, Math.ceil(Math.min(shown, MOST) / size));
  const first = await get(1, page * size);
  finish(list, draw(first));
  if (first.total > page * size) {
    goOn(button, async () => {
      page += 1;
      const next = await get(page, size);
      list.append(...draw(next));
      return page < next.pages;
    }, signal);
  }
  return first;
}

export function stop(button) {
  watching.get(button)?.();
  button.hidden = true;
}
