import type { ComponentChildren, JSX, TargetedEvent } from "preact";
import { useId, useState } from "preact/hooks";
import type { ChosenFiles } from "../backend/backend.ts";
import { filesOfDrop, filesOfInput } from "../chosen-files.ts";

export interface DropZoneProps {
  readonly title: string;
  readonly accept?: string;
  readonly onFiles: (files: ChosenFiles) => void;
  readonly children?: ComponentChildren;
}

/** An area that accepts dropped files and folders, with buttons that choose them. */
export function DropZone({ title, accept, onFiles, children }: DropZoneProps): JSX.Element {
  const [isOver, setOver] = useState(false);
  const id = useId();
  const choose = (event: TargetedEvent<HTMLInputElement>): void => {
    const files = filesOfInput(event.currentTarget);
    event.currentTarget.value = "";
    if (files.length > 0) onFiles(files);
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset has no drop target.
    <div
      class={`drop${isOver ? " over" : ""}`}
      role="group"
      aria-label={title}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={async (event) => {
        event.preventDefault();
        setOver(false);
        const files = event.dataTransfer === null ? [] : await filesOfDrop(event.dataTransfer);
        if (files.length > 0) onFiles(files);
      }}
    >
      <p class="big">{title}</p>
      <div class="actions">
        <span>
          <input type="file" id={`${id}-file`} multiple accept={accept} onChange={choose} />
          <label class="button primary" for={`${id}-file`}>
            Choose files …
          </label>
        </span>
        <span>
          <input type="file" id={`${id}-folder`} multiple onChange={choose} {...{ webkitdirectory: true }} />
          <label class="button" for={`${id}-folder`}>
            Choose a folder …
          </label>
        </span>
      </div>
      {children}
    </div>
  );
}
