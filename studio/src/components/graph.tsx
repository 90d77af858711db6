/** The drawing of the graph. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { backendOf } from "../state/jobs.ts";
import { missingFiles, modelSource, subject } from "../state/signals.ts";

/** The drawing of the open model, or why there is none. */
const drawing = signal<{ readonly key: string; readonly result: { readonly svg: string } | string } | undefined>(
  undefined,
);

async function load(key: string): Promise<void> {
  const result = await backendOf()
    .call("graph", [subject.value])
    .then((svg) => ({ svg }))
    .catch((error: Error) => error.message);
  if (modelSource.value?.key === key) drawing.value = { key, result };
}

/** Loads the graph when it is opened for the first time. */
export function GraphDetails(): JSX.Element | null {
  const key = modelSource.value?.key;
  if (key === undefined || missingFiles.value === "model") return null;
  const shown = drawing.value?.key === key ? drawing.value.result : undefined;
  return (
    <details
      key={key}
      onToggle={(event) => {
        if (event.currentTarget.open && shown === undefined) void load(key);
      }}
    >
      <summary>Graph</summary>
      {shown === undefined ? (
        <p class="note">The graph is being drawn …</p>
      ) : typeof shown === "string" ? (
        <p>Not drawn: {shown}</p>
      ) : (
        <Graph svg={shown.svg} />
      )}
    </details>
  );
}

function Graph({ svg }: { svg: string }): JSX.Element {
  const frame = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    const { current } = frame;
    // The middle of a wide graph shows its main path.
    if (current !== null) current.scrollLeft = (current.scrollWidth - current.clientWidth) / 2;
  }, [svg]);
  return (
    <section
      ref={frame}
      class="graph"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls must be reachable by keyboard.
      tabIndex={0}
      aria-label="Graph"
      // Pith escapes all names in it.
      dangerouslySetInnerHTML={{ __html: svg }}
    />
  );
}
