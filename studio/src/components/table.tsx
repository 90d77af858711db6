import type { ComponentChildren, JSX } from "preact";

interface Column {
  readonly title: ComponentChildren;
  /** Class of the cells: "n" for numbers, "name" for names of a file. */
  readonly kind?: "n" | "name";
}

export interface Row {
  readonly key: string;
  readonly isChosen?: boolean;
  /** A cell for each column. The first cell names the row. */
  readonly cells: readonly ComponentChildren[];
}

interface Props {
  readonly label: string;
  /** Class of the table. A narrow window shows each row of "results" as a block, with the titles in the cells. */
  readonly kind?: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

/** A table that can be wider than the window. It scrolls, also by keyboard. */
export function Table({ label, kind, columns, rows }: Props): JSX.Element {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
    <section class="wide" tabIndex={0} aria-label={label}>
      <table class={kind}>
        <thead>
          <tr>
            {columns.map(({ title, kind }, index) => (
              <th key={index} class={kind === "n" ? kind : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, isChosen, cells: [name, ...cells] }) => (
            <tr key={key} class={isChosen === true ? "chosen" : undefined}>
              <th scope="row" class={columns[0]?.kind}>
                {name}
              </th>
              {cells.map((cell, index) => (
                <td
                  key={index}
                  class={columns[index + 1]?.kind}
                  data-label={kind === "results" ? columns[index + 1]?.title : undefined}
                >
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
