// What of the map is in sight. Places on the map are 0…1 with y upwards; places on the screen are CSS pixels of the canvas.

const MOST_ZOOM = 200;
const MARGIN = 24; // pixels around the points when the whole map is shown

export class Camera {
  constructor(canvas) {
    Object.assign(this, { canvas, zoom: 1, x: 0.5, y: 0.5, middle: [0.5, 0.5], extent: [1, 1] });
  }

  get width() {
    return this.canvas.clientWidth;
  }

  get height() {
    return this.canvas.clientHeight;
  }

  /** Show all of some points. */
  showAll({ middle, extent }) {
    Object.assign(this, { zoom: 1, x: middle[0], y: middle[1], middle, extent });
  }

  /** Pixels per unit of the map; both axes alike, so that a distance means the same in every direction. */
  get scale() {
    const [width, height] = this.extent;
    return this.zoom * Math.min((this.width - 2 * MARGIN) / width, (this.height - 2 * MARGIN) / height);
  }

  toScreen(x, y) {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale];
  }

  toMap(x, y) {
    return [this.x + (x - this.width / 2) / this.scale, this.y - (y - this.height / 2) / this.scale];
  }

  /** Whether a place on the map is in sight. */
  sees(x, y) {
    const [left, top] = this.toScreen(x, y);
    return left > 0 && top > 0 && left < this.width && top < this.height;
  }

  /** Zoom by a factor; what is at a place on the screen stays there. */
  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const before = this.toMap(x, y);
    this.zoom = Math.max(1, Math.min(MOST_ZOOM, this.zoom * factor));
    const after = this.toMap(x, y);
    this.moveBy(before[0] - after[0], before[1] - after[1]);
  }

  /** Move what is looked at, as far as there are points. */
  moveBy(x, y) {
    const within = (value, middle, size) => Math.max(middle - size / 2, Math.min(middle + size / 2, value));
    this.x = within(this.x + x, this.middle[0], this.extent[0]);
    this.y = within(this.y + y, this.middle[1], this.extent[1]);
  }
}
