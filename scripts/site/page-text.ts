/** Changes links of a page, because the site has other addresses than the repository. */
import { posix } from "node:path";

const link = /(!?)\[((?:[^\]\\]|\\.)*)\]\(([^)\s]+)\)/g;

/**
 * Returns the text of a page of the site. Links to other pages and images follow them to their addresses. Other files of the repository are no part of
 * the site, so that links to them become code.
 * @param source path of the page in the repository. @param address path of the page on the site. @param addresses address of each page by its source.
 */
export function pageText(
  text: string,
  source: string,
  address: string,
  addresses: ReadonlyMap<string, string>,
): string {
  // Links inside of code stay.
  return text
    .split(/(```[\s\S]*?```|`[^`\n]*`)/)
    .map((part, index) =>
      index % 2 === 1
        ? part
        : part.replace(link, (whole, mark: string, title: string, target: string) => {
            if (/^(https?:|mailto:|#)/.test(target)) return whole;
            const [path = "", anchor] = target.split("#");
            const file = posix.join(posix.dirname(source), path);
            const place = addressOf(file, addresses);
            if (place === undefined) return title.startsWith("`") ? title : `${title} (\`${file.replace(/\/$/, "")}\`)`;
            const relative = place.startsWith("/") ? place : posix.relative(posix.dirname(address), place);
            return `${mark}[${title}](${place.startsWith("/") ? "" : "./"}${relative}${anchor === undefined ? "" : `#${anchor}`})`;
          }),
    )
    .join("");
}

function addressOf(file: string, addresses: ReadonlyMap<string, string>): string | undefined {
  if (file.startsWith("docs/images/")) return `/${file.slice("docs/".length)}`;
  if (file === "docs/recipe.schema.json") return "/recipe.schema.json";
  return file === "README.md" ? "index.md" : addresses.get(file);
}
