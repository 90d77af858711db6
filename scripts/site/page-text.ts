/** Changes links of a page, because the site has other addresses than the repository. */
import { posix } from "node:path";

/** A page of the site. */
export interface Place {
  readonly address: string;
  readonly title: string | undefined;
}

/** Matches code or a link, whichever begins first: links in code stay, and a link can have code as its title. */
const codeOrLink = /```[\s\S]*?```|`[^`\n]*`|(!?)\[((?:[^\]\\]|\\.)*)\]\(([^)\s]+)\)/g;

/**
 * Returns the text of a page of the site. Links to pages and images lead to their addresses, and a link with the path of a file as its text has the title of
 * the page. The site does not contain other files of the repository, so links to them lead to the repository, or become code if its address is unknown.
 * @param source path of the page in the repository. @param places pages of the site by their source. @param repository web address.
 */
export function pageText(
  text: string,
  source: string,
  places: ReadonlyMap<string, Place>,
  repository?: string | undefined,
): string {
  const from = posix.dirname(places.get(source)?.address ?? "");
  const change = (whole: string, mark = "", title = "", target?: string): string => {
    // README does not link this page, because the npm package does not contain it.
    const named = whole === "`CONTRIBUTING.md`" ? places.get("CONTRIBUTING.md") : undefined;
    if (named !== undefined) return `[${whole}](./${posix.relative(from, named.address)})`;
    if (target === undefined || /^(https?:|mailto:|#)/.test(target)) return whole;
    const [path = "", anchor] = target.split("#");
    const file = posix.join(posix.dirname(source), path);
    const end = anchor === undefined ? "" : `#${anchor}`;
    if (file.startsWith("docs/images/") && !file.endsWith(".md"))
      return `${mark}[${title}](/${file.slice("docs/".length)})`;
    if (file === "docs/recipe.schema.json") return `[${title}](/recipe.schema.json)`;
    const place = places.get(file);
    if (place === undefined && repository !== undefined) return `[${title}](${repository}/blob/HEAD/${file}${end})`;
    const isPath = posix.join("/", file).endsWith(posix.join("/", title)) || file.startsWith(`${title}/`);
    if (place === undefined && title.startsWith("`")) return title;
    const code = `\`${file.replace(/\/$/, "")}\``;
    if (place === undefined) return isPath ? code : `${title} (${code})`;
    const shown = isPath ? (place.title ?? title) : title;
    return `${mark}[${shown}](./${posix.relative(from, place.address)}${end})`;
  };
  return text.replace(codeOrLink, change);
}
