// What pages do beside what HTML and htmx do for them: charts, clicks as they come, copying. Every
// page works without it.
(() => {
  "use strict";

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = new Intl.NumberFormat("en");
  const charts = new Map();

  function draw(place) {
    charts.get(place)?.destroy();
    const { start, clicks, unique, day } = JSON.parse(place.dataset.series);
    const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    const whole = (self, values) => values.map((value) => (Number.isInteger(value) ? number.format(value) : ""));
    const two = (part) => String(part).padStart(2, "0");
    const moment = (seconds) => {
      const at = new Date(seconds * 1000);
      const date = two(at.getUTCMonth() + 1) + "-" + two(at.getUTCDate());
      return day ? date : date + " " + two(at.getUTCHours()) + ":" + two(at.getUTCMinutes());
    };
    const bars = uPlot.paths.bars({ size: [0.7, 48] });
    const chart = new uPlot(
      {
        width: place.clientWidth,
        height: 240,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { y: false, points: { show: false } },
        // Half a step on each side, for the first and the last bar.
        scales: {
          x: { range: (self, low, high) => { const half = (start[1] - start[0]) / 2 || 1; return [low - half, high + half]; } },
          y: { range: (self, low, high) => [0, Math.max(high * 1.1, 4)] },
        },
        axes: [{ ...axis, space: 80, values: (self, values) => values.map(moment) }, { ...axis, values: whole, size: 50 }],
        series: [
          { value: day ? "{YYYY}-{MM}-{DD}" : "{YYYY}-{MM}-{DD} {HH}:{mm}" },
          { label: "Clicks", stroke: color("--series"), fill: color("--series"), paths: bars, points: { show: false } },
          ...(unique ? [{ label: "Visitors", stroke: color("--series-2"), width: 2, points: { size: 5 } }] : []),
        ],
      },
      unique ? [start, clicks, unique] : [start, clicks],
      place,
    );
    charts.set(place, chart);
  }

  function watch(place) {
    const list = place.querySelector("[data-live-list]");
    const count = place.querySelector("[data-live-count]");
    const state = place.querySelector("[data-live-state]");
    const say = (on, text) => {
      place.classList.toggle("on", on);
      if (state) state.textContent = text;
    };
    const source = new EventSource(place.dataset.live);
    source.onopen = () => say(true, "Live");
    source.onerror = () => say(false, "Not connected");
    source.addEventListener("click", (event) => {
      const click = JSON.parse(event.data);
      if (count) {
        const total = Number(count.dataset.liveCount) + 1;
        count.dataset.liveCount = total;
        count.textContent = number.format(total);
      }
      if (!list) return;
      place.querySelector("[data-live-empty]")?.remove();
      const line = document.createElement("li");
      line.className = "new";
      const name = (click.domain ? click.domain : "") + "/" + click.code;
      const link = document.createElement("a");
      link.href = "/links/" + encodeURIComponent(click.code) + (click.domain ? "?domain=" + encodeURIComponent(click.domain) : "");
      link.textContent = name;
      const values = click.values || {};
      const from = [values.country, values.browser, values.os, values.referrer].filter(Boolean).join(", ");
      line.append(click.at.slice(11, 19) + " ", link, from ? " " + from : "", click.bot ? " (program)" : "");
      list.prepend(line);
      while (list.children.length > 20) list.lastElementChild.remove();
    });
    addEventListener("pagehide", () => source.close());
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    navigator.clipboard?.writeText(button.dataset.copy).then(() => {
      const before = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  });

  // A slider goes through usual values of the field beside it.
  function slide(slider) {
    const stops = slider.dataset.stops.split(" ");
    const field = document.getElementById(slider.dataset.slides);
    slider.hidden = false;
    slider.addEventListener("input", () => {
      field.value = stops[slider.value];
      slider.ariaValueText = field.value;
    });
    field.addEventListener("input", () => {
      const at = stops.indexOf(field.value.replaceAll(" ", ""));
      if (at >= 0) slider.value = at;
      slider.ariaValueText = field.value;
    });
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-all]")) {
      for (const box of event.target.closest("form").querySelectorAll(`[name="${event.target.dataset.tickAll}"]`)) {
        box.checked = event.target.checked;
      }
    }
  });

  // A file that is chosen fills a field, so that it is sent as if it had been pasted.
  document.addEventListener("change", async (event) => {
    const field = document.getElementById(event.target.dataset?.fills);
    const file = event.target.files?.[0];
    if (!field || !file) return;
    const text = await file.text();
    const { most, note } = event.target.dataset;
    const whole = text.length <= most;
    field.value = whole ? text : text.slice(0, text.lastIndexOf("\n", most) + 1);
    document.getElementById(note).textContent = whole ? "" : "Only the first " + number.format(field.value.length) + " characters: for all of it, use tollgate limit replay.";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  document.querySelectorAll("[data-fills]").forEach((input) => { input.closest("[hidden]").hidden = false; });

  // On a phone not all pages fit into the navigation: where one is comes first.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const all = () => document.querySelectorAll("[data-series]").forEach(draw);
  all();
  document.querySelectorAll("[data-live]").forEach(watch);
  document.querySelectorAll("[data-slides]").forEach(slide);
  document.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = !navigator.clipboard; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => charts.forEach((chart, place) => chart.setSize({ width: place.clientWidth, height: 240 })), 100);
  });
})();
