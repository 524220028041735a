// What the studio's pages need in the browser and a round trip to the server would be too late for.
const sfumato = {
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
