// What the studio's pages need in the browser and a round trip to the server would be too late for.
window.sfumato = {
  // light, dark, or as the system has it; remembered for a year
  colours(name) {
    document.documentElement.dataset.colours = name;
    document.cookie = `sfumato-colours=${name}; path=/; max-age=31536000; samesite=lax`;
  },

  // what was typed stays with the tab: through a reload, a lost connection and a restart of the server
  keep(name, value) {
    sessionStorage.setItem(`${location.pathname}:${name}`, JSON.stringify(value));
  },
  kept() {
    const here = `${location.pathname}:`;
    const mine = Object.entries(sessionStorage).filter(([name]) => name.startsWith(here));
    return Object.fromEntries(mine.map(([name, value]) => [name.slice(here.length), JSON.parse(value)]));
  },
};

// Escape presses what is marked for it, unless a dialog or a menu takes it; arrows walk through a grid of buttons
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector(".q-dialog, .q-menu")) {
    [...document.querySelectorAll('[data-key="Escape"]')].find((button) => button.checkVisibility())?.click();
  }
  const grid = event.target.closest?.("[data-arrows]");
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: "row", ArrowUp: "-row", Home: "first", End: "last" }[event.key];
  if (!grid || step === undefined) return;
  const buttons = [...grid.querySelectorAll("button")];
  const columns = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
  const here = buttons.indexOf(event.target);
  const places = { row: here + columns, "-row": here - columns, first: 0, last: buttons.length - 1 };
  const next = buttons[places[step] ?? here + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
});
