"use strict";
// One slider moves along a text: at each token, bars of what might have come.

function bar(colour, share) {
  const [outer, inner] = [document.createElement("span"), document.createElement("span")];
  outer.className = "bar";
  inner.className = `fill-${colour}`;
  inner.style.width = `${100 * share}%`;
  outer.append(inner);
  return outer;
}

function percent(share) {
  return share >= 0.001 ? `${(100 * share).toFixed(1)} %` : share > 0 ? "< 0.1 %" : "–";
}

function row([text, probability, chance, chosen]) {
  const line = document.createElement("tr");
  if (chosen) line.className = "whole";
  const head = document.createElement("th");
  head.scope = "row";
  const token = document.createElement("code");
  token.textContent = text || "∅";
  head.append(token, chosen ? " ← written" : "");
  line.append(head);
  for (const [share, colour] of [[probability, 1], [chance, 3]]) {
    const cell = document.createElement("td");
    cell.append(bar(colour, share), colour === 3 && !chance ? "cut away" : percent(share));
    line.append(cell);
  }
  return line;
}

function table(step) {
  const made = document.createElement("table"), head = made.createTHead().insertRow();
  for (const title of ["token", "by the model", "by the rules of sampling"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = title;
    head.append(cell);
  }
  made.createTBody().append(...step.candidates.map(row));
  return made;
}

function writing(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const [slider, output, next] = ["input", "output", ".next"].map((name) => root.querySelector(name));
  const tokens = [...root.querySelectorAll(".token")];

  function show(at) {
    const step = data.steps[at], place = step.rank + 1;
    next.replaceChildren(table(step));
    output.textContent = `${at + 1} of ${data.steps.length}: number ${place} by the model; ` +
      `the rules left ${step.kept} and cut away ${percent(step.cut)}`;
    slider.setAttribute("aria-valuetext", `token ${at + 1}, ${step.chosen}`);
    tokens.forEach((each, number) => each.classList.toggle("here", number === at));
    for (const mark of root.querySelectorAll(".now")) {
      const { from, to, width } = mark.dataset;
      mark.style.transform = `translateX(${(width * (at + 1 - from)) / (to - from)}px)`;
    }
  }

  for (const [at, token] of tokens.entries()) {
    token.addEventListener("mouseenter", () => show(at));
    token.addEventListener("mouseleave", () => show(Number(slider.value)));
    token.addEventListener("click", () => { slider.value = at; show(at); });
  }
  slider.addEventListener("input", () => show(Number(slider.value)));
  show(0);
}

document.querySelectorAll(".xray-text").forEach(writing);
