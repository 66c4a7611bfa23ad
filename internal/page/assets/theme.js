"use strict";

// The switch for light and dark. The choice is remembered, and applied before the page is
// drawn. Without a choice the colours are those of the reader's system.
const theme = {
  get() {
    try {
      return localStorage.getItem("holdfast-theme") || "";
    } catch {
      return ""; // the browser keeps nothing for this page
    }
  },

  set(name) {
    try {
      localStorage.setItem("holdfast-theme", name);
    } catch {
      // The choice holds until the page is left.
    }
    this.apply(name);
  },

  apply(name) {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
  },
};

theme.apply(theme.get());
document.documentElement.classList.add("js");

addEventListener("DOMContentLoaded", () => {
  for (const choice of document.querySelectorAll("input[name=theme]")) {
    choice.checked = choice.value === theme.get();
    choice.addEventListener("change", () => theme.set(choice.value));
  }
});
