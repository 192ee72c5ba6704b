// Arrow keys, the copy button, and the live box. Everything that comes from outside is set as text, never as markup.
"use strict";

function isTyping(element) {
  return element.closest("textarea, input, select, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || isTyping(event.target)) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = rel && document.querySelector(`a[rel=${rel}]`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});

async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // without TLS, on another host than this, browsers offer only the old way
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser refused");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    try {
      const answer = await fetch(button.dataset.copy);
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      await copyText(await answer.text());
      button.textContent = "Copied";
    } catch (error) {
      button.textContent = `Not copied: ${error.message}`;
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  });
}

const cursor = document.getElementById("cursor");
if (cursor) {
  const box = cursor.closest(".code");
  box.scrollTop = cursor.offsetTop - box.offsetTop - box.clientHeight / 2;
}

function element(tag, text, css) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (css) made.className = css;
  return made;
}

function providerList(provider) {
  const part = element("section", undefined, "provider");
  part.append(element("h3", provider.name));
  const speed = `${provider.milliseconds} ms`;
  if (provider.reason) {
    part.append(element("p", `no list: ${provider.reason} (${speed})`, "note"));
    return part;
  }
  const completions = provider.num_completions === 1 ? "completion" : "completions";
  part.append(element("p", `${provider.num_completions} ${completions}, ${speed}`, "note"));
  const list = element("ol");
  const highest = Math.max(...provider.completions.map((one) => one.score), Number.MIN_VALUE);
  for (const one of provider.completions) {
    const item = element("li");
    const meter = element("meter");
    meter.value = one.score / highest;
    item.append(element("span", one.text), " ", element("small", one.score.toPrecision(3)), meter);
    list.append(item);
  }
  part.append(list);
  return part;
}

const live = document.querySelector("form[data-live]");
if (live) {
  const code = live.querySelector("textarea");
  const answerBox = document.getElementById("answer");
  const start = Number(code.dataset.cursor) || code.value.length;
  let asked = 0;
  if (!code.disabled) {
    code.focus();
    code.setSelectionRange(start, start);
    // show the cursor: the line it is in, at the height of a line of the box
    const line = code.value.slice(0, start).split("\n").length;
    code.scrollTop = Math.max(0, line - code.rows / 2) * (code.scrollHeight / code.value.split("\n").length);
  }
  const complete = async (event) => {
    event.preventDefault();
    const number = ++asked;
    answerBox.replaceChildren(element("p", "Asking …", "note"));
    let found;
    try {
      const answer = await fetch(live.dataset.live, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ code: code.value, cursor: code.selectionStart }),
      });
      found = await answer.json();
    } catch (error) {
      found = { problem: `The viewer did not answer: ${error.message}` };
    }
    if (number !== asked) return; // a later question is on its way
    if (found.problem) {
      answerBox.replaceChildren(element("p", found.problem, "warning"));
      return;
    }
    const lists = element("div", undefined, "answers");
    lists.append(...found.providers.map(providerList));
    answerBox.replaceChildren(lists);
  };
  live.addEventListener("submit", complete);
  code.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) complete(event);
  });
}
