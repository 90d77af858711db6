/** Prepares tables for phones: a table that is too wide shows each of its rows as a block, with the titles of the columns in the cells. */

/** The parts of a token of markdown-it that are read and written here. */
export interface TableToken {
  readonly type: string;
  readonly content: string;
  readonly attrGet: (name: string) => string | null;
  readonly attrSet: (name: string, value: string) => void;
}

interface Cell {
  readonly token: TableToken;
  readonly text: string;
  readonly style: string;
}

/** Width in pixels of a column of text on a phone, of a letter, and of the space around a cell. */
const [columnWidth, letterWidth, cellPadding] = [320, 7.2, 15];
/** Letters of the longest name that stays on one line. */
const maxWord = 24;
/** Letters of a cell that fills half of a phone's height in a narrow column, and of one that fits beside another. */
const [longText, shortText] = [60, 16];

const lettersOf = (markdown: string): string => markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[*`\\]/g, "");

const isRight = ({ style }: Cell): boolean => style.includes("right");

/** Letters of the narrowest column that shows a cell. Numbers do not wrap, and long names wrap between their parts. */
function minLetters(cell: Cell): number {
  const words = isRight(cell) ? [cell.text] : cell.text.split(/\s(?![%×]|[kMG]B)/);
  const parts = words.flatMap((word) =>
    word.length > maxWord && !isRight(cell) ? word.split(/[/_]|(?=[A-Z])/) : [word],
  );
  return Math.max(...parts.map(({ length }) => length));
}

/** Marks the tables that are too wide for a phone with the class "blocks", their cells with the titles of the columns, and cells of texts with the class "long", and those of downloads and changes with these words. */
export function markWideTables(tokens: readonly TableToken[]): void {
  let [rows, table]: [Cell[][], TableToken | undefined] = [[], undefined];
  for (const [index, token] of tokens.entries()) {
    if (token.type === "table_open") [rows, table] = [[], token];
    if (token.type === "tr_open") rows.push([]);
    if (token.type === "th_open" || token.type === "td_open") {
      const [text, style] = [lettersOf(tokens[index + 1]?.content ?? ""), token.attrGet("style") ?? ""];
      rows.at(-1)?.push({ token, text, style });
    }
    if (token.type === "table_close" && table !== undefined) markTable(table, rows);
  }
}

function markTable(table: TableToken, [heads = [], ...rows]: readonly (readonly Cell[])[]): void {
  const columns = heads.map((head, index) => ({ head, cells: rows.flatMap((row) => row[index] ?? []) }));
  // Signs in narrow columns are compared from row to row: their titles stand upright instead.
  if (columns.length < 3 || heads.some(({ style }) => style.includes("center"))) return;
  const width = columns.reduce(
    (sum, { head, cells }) => sum + cellPadding + letterWidth * Math.max(...[head, ...cells].map(minLetters)),
    0,
  );
  const hasLongText = columns.some(({ cells }) => cells.some(({ text }) => text.length > longText));
  if (width <= columnWidth && !hasLongText) return;
  table.attrSet("class", "blocks");
  for (const { head, cells } of columns) {
    const isLong = cells.some(({ text }) => text.length > shortText);
    // Columns that share a title belong to the columns before them, so they keep their places.
    const isUnique = heads.filter(({ text }) => text === head.text).length === 1;
    const kind = isUnique ? /^(?:result, )?(download|brotli|change)/.exec(head.text)?.[1] : undefined;
    const classes = [isLong && "long", kind].filter((name) => typeof name === "string").join(" ");
    for (const { token } of cells) {
      token.attrSet("data-label", head.text);
      if (classes !== "") token.attrSet("class", classes);
    }
  }
}
