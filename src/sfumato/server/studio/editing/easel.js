// A picture to paint on and to draw boxes on. What it all means is decided in Python (easel.py): this only draws,
// and tells what was drawn. Places are parts of the picture's sides, from 0 to 1.

const STEP = 0.01; // of a side, for the arrow keys
const CLICK = 0.02; // of a side; a box smaller than that was a click

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function place(event, element) {
  const inside = element.getBoundingClientRect();
  return [(event.clientX - inside.left) / inside.width, (event.clientY - inside.top) / inside.height];
}

function between([x, y], [x2, y2]) {
  const [left, right] = [x, x2].sort((a, b) => a - b);
  const [top, bottom] = [y, y2].sort((a, b) => a - b);
  return { left, top, right, bottom };
}

// the same box elsewhere, as far as the picture goes
function shifted(box, across, down) {
  across = Math.min(Math.max(across, -box.left), 1 - box.right);
  down = Math.min(Math.max(down, -box.top), 1 - box.bottom);
  return { ...box, left: box.left + across, top: box.top + down, right: box.right + across, bottom: box.bottom + down };
}

export default {
  template: `
    <div class="easel" :style="{ aspectRatio: whole[0] / whole[1], maxWidth: width }">
      <div class="easel-picture" :style="inner">
        <img v-if="src" :src="src" :alt="described" draggable="false">
        <canvas ref="mask" role="img" :aria-label="told" :class="{ active: tool === 'mask' }"
          v-show="tool === 'mask'" :width="size[0]" :height="size[1]"
          @pointerdown="begin" @pointermove="move" @pointerup="end" @pointercancel="end"
          @pointerleave="brushAt = null"></canvas>
        <div v-if="tool === 'mask' && brushAt" class="easel-brush" :style="ring"></div>
      </div>
      <div v-show="tool === 'boxes'" ref="boxes" class="easel-boxes" role="group" aria-label="Boxes on the picture"
        @pointerdown="begin" @pointermove="move" @pointerup="end" @pointercancel="end">
        <div v-for="(box, number) in shown" :key="number" class="easel-box" :class="{ chosen: number === chosen }"
          :data-number="number" :style="at(box)" tabindex="0" role="button"
          :aria-label="'Box ' + (number + 1) + ': ' + (box.words || 'no words yet')"
          aria-description="Arrow keys move it, with Shift they change its size, Delete removes it."
          @focus="choose(number)" @keydown="press($event, number)">
          <span>{{ number + 1 }} {{ box.words }}</span><i data-corner></i>
        </div>
        <div v-if="draft && drag.number === null" class="easel-box draft" :style="at(draft)"></div>
      </div>
    </div>`,

  props: {
    src: String, // the picture; none for an empty one
    described: String, // the picture in words
    size: Array, // of the mask, in pixels
    extend: Array, // parts of the sides that are added: left, top, right, bottom
    tool: String, // "mask", "boxes" or "none"
    brush: Number, // its diameter, as a part of the longer side
    erase: Boolean,
    mask: String, // a data address of the mask to begin with
    told: String, // the mask in words
    boxes: Array,
    chosen: Number,
    heard: Number, // how many of the changes that were told here the boxes hold
  },

  data() {
    return { drag: null, draft: null, brushAt: null, changes: 0, changed: [] };
  },

  mounted() {
    if (this.mask) this.show(this.mask);
  },

  computed: {
    // width and height with what is added
    whole() {
      const [left, top, right, bottom] = this.extend || [0, 0, 0, 0];
      return [this.size[0] * (1 + left + right), this.size[1] * (1 + top + bottom)];
    },
    // as large as the column is wide and the window high; small pictures are shown enlarged
    width() {
      return `min(100%, calc(72vh * ${this.whole[0] / this.whole[1]}))`;
    },
    inner() {
      const [left, top] = this.extend || [0, 0];
      const [width, height] = this.whole;
      return {
        left: `${(100 * left * this.size[0]) / width}%`,
        top: `${(100 * top * this.size[1]) / height}%`,
        width: `${(100 * this.size[0]) / width}%`,
        height: `${(100 * this.size[1]) / height}%`,
      };
    },
    // the boxes as they are, or as they were made here until Python has heard of it, which may be after the next key
    now() {
      return this.heard < this.changes ? this.changed : this.boxes || [];
    },
    shown() {
      return this.now.map((box, number) =>
        this.draft && this.drag.number === number ? { ...box, ...this.draft } : box,
      );
    },
    ring() {
      const diameter = this.brush * Math.max(...this.size);
      return {
        left: `${100 * this.brushAt[0]}%`,
        top: `${100 * this.brushAt[1]}%`,
        width: `${(100 * diameter) / this.size[0]}%`,
        height: `${(100 * diameter) / this.size[1]}%`,
      };
    },
  },

  methods: {
    at(box) {
      return {
        left: `${100 * box.left}%`,
        top: `${100 * box.top}%`,
        width: `${100 * (box.right - box.left)}%`,
        height: `${100 * (box.bottom - box.top)}%`,
      };
    },

    // another mask than the one that was painted here, as after a step back
    async show(address) {
      const image = new Image();
      image.src = address;
      await image.decode();
      const [width, height] = this.size;
      const context = this.$refs.mask.getContext("2d");
      context.globalCompositeOperation = "source-over";
      context.clearRect(0, 0, width, height);
      context.drawImage(image, 0, 0, width, height);
    },

    // --- the pointer: mouse, pen and finger alike ---

    begin(event) {
      if (event.button !== 0 || this.drag) return;
      const surface = event.currentTarget;
      surface.setPointerCapture(event.pointerId);
      const first = place(event, surface);
      const box = event.target.closest("[data-number]");
      const number = box ? Number(box.dataset.number) : null;
      this.drag = { surface, first, last: first, number, corner: "corner" in event.target.dataset };
      if (this.tool === "mask") this.stroke(first, first);
      else if (box) box.focus();
      if (!box) event.preventDefault();
    },

    move(event) {
      const here = place(event, event.currentTarget);
      if (this.tool === "mask") this.brushAt = here;
      if (!this.drag) return;
      if (this.tool === "mask") this.stroke(this.drag.last, here);
      else this.draft = this.dragged(here);
      this.drag.last = here;
    },

    end(event) {
      if (!this.drag) return;
      const { number } = this.drag;
      const draft = this.draft;
      this.drag = this.draft = null;
      if (this.tool === "mask") this.$emit("painted", this.$refs.mask.toDataURL("image/png"));
      else if (draft && number !== null) this.put(number, draft);
      else if (draft && draft.right - draft.left > CLICK && draft.bottom - draft.top > CLICK) this.$emit("drawn", draft);
    },

    stroke(from, to) {
      const context = this.$refs.mask.getContext("2d");
      const [width, height] = this.size;
      context.globalCompositeOperation = this.erase ? "destination-out" : "source-over";
      context.strokeStyle = "white";
      context.lineCap = "round";
      context.lineWidth = this.brush * Math.max(width, height);
      context.beginPath();
      context.moveTo(from[0] * width, from[1] * height);
      context.lineTo(to[0] * width, to[1] * height);
      context.stroke();
    },

    dragged(here) {
      const { first, number, corner } = this.drag;
      if (number === null) return between(first, here);
      const box = this.now[number];
      if (corner) return between([box.left, box.top], here);
      return shifted(box, here[0] - first[0], here[1] - first[1]);
    },

    put(number, box) {
      this.changed = this.now.map((each, at) => (at === number ? { ...each, ...box } : each));
      this.changes += 1;
      this.$emit("changed", { number, box });
    },

    // --- the keyboard, on a box ---

    choose(number) {
      if (number !== this.chosen) this.$emit("chosen", number);
    },

    press(event, number) {
      const arrow = ARROWS[event.key];
      if (arrow) {
        const box = this.now[number];
        const [across, down] = arrow.map((way) => way * STEP);
        const larger = { ...box, right: box.right + across, bottom: box.bottom + down };
        this.put(number, event.shiftKey ? larger : shifted(box, across, down));
      } else if (event.key === "Delete" || event.key === "Backspace") {
        this.$emit("removed", number);
      } else return;
      event.preventDefault();
    },
  },
};
