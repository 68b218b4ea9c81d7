// Before anything is drawn; page.js does the rest.
(() => {
  let theme = "";
  try { theme = localStorage.getItem("theme"); } catch { /* A file may have no storage of its own. */ }
  document.documentElement.dataset.theme = theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
})();
