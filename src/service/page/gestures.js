// The pointers on an element: a mouse, a pen, or fingers that drag and pinch. Places are CSS pixels of the element.

/** The middle of the pointers that are down, and how far apart they are. */
function gripOf(pressed) {
  const all = [...pressed.values()];
  const mean = (of) => all.reduce((sum, pointer) => sum + of(pointer), 0) / all.length;
  const [x, y] = [mean((pointer) => pointer.x), mean((pointer) => pointer.y)];
  return { x, y, spread: mean((pointer) => Math.hypot(pointer.x - x, pointer.y - y)) };
}

/**
 * Follow the pointers on an element. `start` is called with the event of each that goes down, `move` with the grip before and
 * after, and `end` with the last event and whether there was more than a click; `hover` with the moves of one that is up.
 */
export function followPointers(target, { start = () => {}, move, end = () => {}, hover = () => {}, cancel = () => {} }) {
  const pressed = new Map();
  let moved = false;
  const placeOf = ({ clientX, clientY }) => {
    const { left, top } = target.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  };
  target.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.target.closest('button, a')) return;
    target.setPointerCapture(event.pointerId);
    const place = placeOf(event);
    pressed.set(event.pointerId, { ...place, start: place });
    moved = pressed.size > 1;
    start(event, place, pressed.size);
  });
  target.addEventListener('pointermove', (event) => {
    const pointer = pressed.get(event.pointerId);
    if (!pointer) return void hover(event);
    const before = gripOf(pressed);
    Object.assign(pointer, placeOf(event));
    moved ||= Math.hypot(pointer.x - pointer.start.x, pointer.y - pointer.start.y) > 5;
    if (moved) move(before, gripOf(pressed));
  });
  target.addEventListener('pointerup', (event) => {
    const pointer = pressed.get(event.pointerId);
    if (pressed.delete(event.pointerId)) end(event, { moved, right: pointer.x - pointer.start.x, rest: pressed.size });
  });
  target.addEventListener('pointercancel', (event) => pressed.delete(event.pointerId) && cancel());
}
