/** Finds faults of a page: elements that do not nest, attributes without quotes, external addresses. */

const empty = new Set(["meta", "link", "input", "br", "img", "hr", "!doctype"]);
const raw = new Set(["script", "style", "title"]);

/** Returns the faults of a page as sentences; none for a well-formed page. */
export function faults(page: string): readonly string[] {
  const faultList: string[] = [];
  const open: string[] = [];
  const tag = /<(\/?)([A-Za-z!][\w-]*)((?:\s+[\w:-]+(?:="[^"<]*")?)*)\s*(\/?)>/y;
  let at = 0;
  while (at < page.length) {
    const next = page.indexOf("<", at);
    const text = page.slice(at, next < 0 ? undefined : next);
    if (text.includes(">")) faultList.push(`a ">" in the text "${text.slice(0, 60)}"`);
    if (/&(?!#\d+;|[a-z]+;)/.test(text)) faultList.push(`a "&" that is not escaped in "${text.slice(0, 60)}"`);
    if (next < 0) break;
    tag.lastIndex = next;
    const match = tag.exec(page);
    if (match === null) {
      faultList.push(`no tag: "${page.slice(next, next + 80)}"`);
      at = next + 1;
      continue;
    }
    at = tag.lastIndex;
    const [, closing, name = "", , selfClosing] = match;
    const element = name.toLowerCase();
    if (closing === "/") {
      const last = open.pop();
      if (last !== element) faultList.push(`</${element}> closes <${last}>`);
    } else if (selfClosing !== "/" && !empty.has(element)) {
      if (raw.has(element) && !(element === "title" && open.includes("svg"))) {
        const end = page.indexOf(`</${element}>`, at);
        if (end < 0) faultList.push(`<${element}> does not end`);
        at = end + `</${element}>`.length;
      } else open.push(element);
    }
  }
  for (const element of open) faultList.push(`<${element}> is not closed`);
  for (const [address] of page.matchAll(/(?:https?:|src=|href=|@import|url\()[^\s>]{0,60}/g)) {
    // Allowed addresses are patterns and anchors of the page, and embedded images.
    if (!/^url\(#|^src="data:image\/png;base64,|^href="#/.test(address)) faultList.push(`an address: ${address}`);
  }
  return faultList;
}

/** Returns the text of a page's executable `<script>` elements. */
export function scripts(page: string): readonly string[] {
  return [...page.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(([, text = ""]) => text);
}
