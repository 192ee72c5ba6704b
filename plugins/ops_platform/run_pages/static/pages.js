// The arrow keys go from run to run in the list; everything else works without a script.
"use strict";

document.addEventListener("keydown", (event) => {
  const table = event.target.closest("#runs tbody");
  if (!table || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const links = [...table.querySelectorAll("a.row")];
  const here = links.indexOf(event.target.closest("tr").querySelector("a.row"));
  const next = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: links.length - 1 }[event.key];
  if (next === undefined || !links[next]) return;
  event.preventDefault();
  links[next].focus();
});
