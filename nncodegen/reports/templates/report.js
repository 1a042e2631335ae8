// Links into folded parts open these; LaTeX can be copied; the contents say where one is; printing unfolds.
const folded = (element) => {
  for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
};
const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  folded(target);
  target.scrollIntoView({ block: ["LI", "TR"].includes(target.tagName) ? "center" : "start" });
};
addEventListener("hashchange", reveal);
addEventListener("load", reveal);
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (link && link.hash === location.hash) setTimeout(reveal);
});

for (const pre of document.querySelectorAll("details.latex pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(pre.textContent);
    } catch {
      getSelection().selectAllChildren(pre);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  pre.after(button);
}

// A box that has nothing to scroll is no stop for the keyboard.
const measure = new ResizeObserver((entries) => {
  for (const { target: box } of entries) {
    const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    scrolls ? box.setAttribute("tabindex", "0") : box.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll(":is(.scroll, .graph)[tabindex]")) measure.observe(box);

const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const seen = new Set();
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
  const now = [...links.keys()].find((id) => seen.has(id));
  if (!now) return;
  for (const [id, link] of links) id === now ? link.setAttribute("aria-current", "location") : link.removeAttribute("aria-current");
}, { rootMargin: "-10% 0px -60% 0px" });
for (const id of links.keys()) watch.observe(document.getElementById(id));

let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open]):not(.long):not(.latex)")];
  for (const part of unfolded) part.open = true;
  for (const part of document.querySelectorAll(".scroll")) { // what is wider than a sheet is made as small as it must be
    const wide = part.scrollWidth/Math.min(part.clientWidth, 660);
    if (part.clientWidth && wide > 1) part.firstElementChild.style.zoom = Math.max(0.35, 1/wide);
  }
});
addEventListener("afterprint", () => {
  for (const part of unfolded) part.open = false;
  for (const part of document.querySelectorAll(".scroll > :first-child")) part.style.zoom = "";
});
