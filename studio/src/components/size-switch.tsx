/** Chooses whether sizes are those of downloads or those on disk. */
import type { JSX } from "preact";
import { sizeKind } from "../state/signals.ts";

const titles = { download: "download", disk: "on disk" } as const;

export function SizeSwitch(): JSX.Element {
  return (
    <fieldset class="switch">
      <legend class="sr">Sizes</legend>
      {(["download", "disk"] as const).map((kind) => (
        <label key={kind}>
          <input
            type="radio"
            name="size"
            checked={sizeKind.value === kind}
            onChange={() => {
              sizeKind.value = kind;
            }}
          />
          {titles[kind]}
        </label>
      ))}
      <small>{sizeKind.value === "download" ? "after brotli, as web servers send files" : "bytes of the file"}</small>
    </fieldset>
  );
}
