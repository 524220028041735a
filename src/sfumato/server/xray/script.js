"use strict";
// One slider moves all panels: what each step looked like, and where a word acted, as a warm light over the picture.

const SHOWN = 192; // pixels a side of a map on the page
const PAUSE = 160; // milliseconds of a step while playing

function heat(light) { // 0 to 255: colour and opacity, from nothing over blue and red to yellow
  const v = light / 255;
  return [255 * Math.min(1, 0.25 + 1.5 * v), 230 * Math.max(0, 2 * v - 0.9), 150 * (1 - v), 255 * (0.08 + 0.67 * v)];
}

function coloured(picture, tile) { // one map of a sheet, in colours
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = tile.side;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, tile.x, tile.y, tile.side, tile.side, 0, 0, tile.side, tile.side);
  const pixels = pen.getImageData(0, 0, tile.side, tile.side);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data.set(heat(pixels.data[i]), i);
  pen.putImageData(pixels, 0, 0);
  return canvas;
}

function panel(root, element) {
  const data = JSON.parse(element.querySelector("script").textContent);
  const row = root.querySelector(`.row[data-panel="${element.dataset.panel}"]`);
  const [shown, canvas, where] = [".shown", "canvas", ".where"].map((name) => element.querySelector(name));
  const estimates = [...row.querySelectorAll(".strip img")], finished = shown.src, sheets = {};
  let pinned = null, word = null, state = null;

  function tile(view, step) {
    const one = data.views[Math.min(view, data.views.length - 1)];
    let number = one.first;
    if (step !== null && one.steps.length) {
      const place = data.steps[step].place, away = one.steps.map((each) => Math.abs(each - place));
      number += 1 + away.indexOf(Math.min(...away));
    }
    return { side: data.tile, x: (number % data.across) * data.tile, y: Math.floor(number / data.across) * data.tile };
  }

  async function light() {
    const asked = word;
    canvas.classList.toggle("on", asked !== null);
    if (asked === null) { where.textContent = where.dataset.rest; return; }
    const known = data.words[asked];
    where.textContent = `“${known.text}” acts ${known.where}.`;
    if (!sheets[asked]) { sheets[asked] = new Image(); sheets[asked].src = known.sheet; }
    await sheets[asked].decode();
    if (asked !== word) return; // another one was pointed at meanwhile
    canvas.width = canvas.height = SHOWN;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(coloured(sheets[asked], tile(state.view, state.each ? step() : null)), 0, 0, SHOWN, SHOWN);
  }

  function nearest(kind, at) { // some pictures are there of some steps only
    const there = data.steps.filter((each) => each[kind]);
    const away = there.map((each) => Math.abs(each.step - at.step));
    return there[away.indexOf(Math.min(...away))];
  }

  function step() { // two runs may have different numbers of steps
    return Math.round(state.share * (data.steps.length - 1));
  }

  function point(next) { word = next; light(); }

  for (const button of element.querySelectorAll("button.word")) {
    const own = button.dataset.word;
    for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => point(own));
    for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => point(pinned));
    button.addEventListener("click", () => {
      pinned = pinned === own ? null : own;
      for (const each of element.querySelectorAll("button.word"))
        each.setAttribute("aria-pressed", String(each.dataset.word === pinned));
      point(pinned);
    });
  }

  return {
    steps: data.steps.length,
    row,
    show(next) {
      state = next;
      const at = step(), told = data.steps[at];
      for (const picture of row.querySelectorAll("[data-kind]")) {
        const kind = picture.dataset.kind, own = kind === "clean" ? told : nearest(kind, told);
        picture.src = kind === "clean" ? estimates[at].src : own[kind];
        picture.alt = `${picture.dataset.title}, step ${own.step}`;
        picture.nextElementSibling.querySelector("span").textContent = own === told ? "" : ` at step ${own.step}`;
      }
      estimates.forEach((each, number) => each.parentElement.classList.toggle("here", number === at));
      shown.src = state.each ? estimates[at].src : finished;
      shown.alt = state.each ? `Estimate at step ${told.step}` : data.alt;
      light();
      return told;
    },
  };
}

function xray(root) {
  const panels = [...root.querySelectorAll(".panel")].map((element) => panel(root, element));
  const slider = root.querySelector("input[type=range]"), output = root.querySelector("output");
  const [play, view] = [".play", "select"].map((name) => root.querySelector(name));
  let playing = null;

  function show() {
    const share = slider.max > 0 ? slider.value / slider.max : 1;
    const each = root.querySelector("[name=when][value=one]")?.checked ?? false;
    const told = panels.map((one) => one.show({ share, each, view: Number(view?.value ?? 0) }))[0];
    output.textContent = `${told.step} of ${told.steps}: ${told.level}`;
    slider.setAttribute("aria-valuetext", `step ${told.step} of ${told.steps}`);
    for (const mark of root.querySelectorAll(".now")) {
      const { from, to, width } = mark.dataset;
      mark.style.transform = `translateX(${(width * (told.step - from)) / (to - from)}px)`;
    }
  }

  function stop() {
    clearInterval(playing);
    playing = null;
    play.textContent = "Play";
  }

  play.addEventListener("click", () => {
    if (playing) { stop(); return; }
    if (slider.value === slider.max) slider.value = 0;
    play.textContent = "Pause";
    playing = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (slider.value === slider.max) stop();
    }, PAUSE);
  });
  for (const one of panels) {
    [...one.row.querySelectorAll(".strip li")].forEach((element, number, all) => {
      element.addEventListener("click", () => {
        slider.value = Math.round((number / Math.max(1, all.length - 1)) * slider.max);
        show();
      });
    });
  }
  root.addEventListener("input", show);
  show();
}

document.querySelectorAll(".xray").forEach(xray);
