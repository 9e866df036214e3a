"use strict";
(() => {
  const table = document.querySelector("table.items");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const filters = document.querySelector(".filters");
  const chips = [...filters.querySelectorAll("[data-filter]")];
  const kind = filters.querySelector("select");
  const search = filters.querySelector("input");
  const output = filters.querySelector("output");
  const empty = document.querySelector(".empty");
  let decision = "";

  const spoken = (row) => row.textContent.replace(row.querySelector(".moves")?.textContent ?? "", "");
  const words = new Map(rows.map((row) => [row, spoken(row).toLowerCase()]));

  function apply() {
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const shown =
        (!decision || row.dataset.decision === decision) &&
        (!kind || !kind.value || row.dataset.kind === kind.value) &&
        (!wanted || words.get(row).includes(wanted));
      row.hidden = !shown;
      count += shown;
    }
    output.textContent = count === rows.length ? `${count} pictures` : `${count} of ${rows.length}`;
    empty.hidden = count > 0;
  }

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      decision = chip.dataset.filter;
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
      apply();
    });
  }
  kind?.addEventListener("change", apply);
  search.addEventListener("input", apply);

  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") === "descending" ||
        (head.getAttribute("aria-sort") === null && head.dataset.key !== "score");
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => {
        const [x, y] = [Number(a), Number(b)];
        return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
      };
      rows.sort((a, b) => (rising ? 1 : -1) * compare(key(a), key(b)));
      body.append(...rows);
    });
  });

  const dialog = document.querySelector("dialog");
  let current = null;

  function show(row) {
    current = row;
    const cells = row.cells;
    dialog.querySelector("strong bdi").textContent = cells[1].querySelector("bdi").textContent;
    const visible = rows.filter((other) => !other.hidden);
    const place = visible.indexOf(row);
    dialog.querySelector(".place").textContent = place < 0 ? "" : `${place + 1} of ${visible.length}`;
    dialog.querySelector(".views").replaceChildren(
      ...[...row.querySelectorAll("img:not(figure img), figure")].map((part) => part.cloneNode(true)));
    const about = dialog.querySelector(".about");
    const facts = [...cells].slice(2, -1).map((cell, index) => {
      const fact = document.createElement("span");
      const label = document.createElement("small");
      label.textContent = heads[index + 2].textContent;
      fact.append(label, ...[...cell.childNodes].map((node) => node.cloneNode(true)));
      return fact;
    });
    about.replaceChildren(...facts, cells[cells.length - 1].querySelector("ul").cloneNode(true));
    if (!dialog.open) dialog.showModal();
  }

  function step(by) {
    const visible = rows.filter((row) => !row.hidden);
    if (!visible.length) return;
    const place = visible.indexOf(current);
    show(visible[(Math.max(place, by < 0 ? 0 : -1) + by + visible.length) % visible.length]);
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-open], [data-step], [data-close]");
    if (event.target === dialog || target?.hasAttribute("data-close")) dialog.close();
    else if (target?.dataset.open) show(document.getElementById(target.dataset.open));
    else if (target?.dataset.step) step(Number(target.dataset.step));
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });

  function follow() {
    const row = document.getElementById(location.hash.slice(1));
    if (rows.includes(row)) show(row);
  }
  addEventListener("hashchange", follow);
  follow();
})();
