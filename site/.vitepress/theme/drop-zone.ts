/** The area of the landing page that accepts a model. It hands the files to the studio, which opens them in the same tab. */
import { withBase } from "vitepress";
import { defineComponent, h, ref } from "vue";

/** Name of the database, and of its store. The studio has the same (`studio/src/handover.ts`). */
const name = "pith-handover";

function handOver(files: readonly File[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(name);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const { transaction } = request.result.transaction(name, "readwrite").objectStore(name);
      transaction.objectStore(name).put(
        files.map((file) => [file.name, file]),
        "model",
      );
      transaction.oncomplete = () => {
        request.result.close();
        resolve();
      };
      transaction.onabort = () => reject(transaction.error);
    };
  });
}

export const DropZone = defineComponent(() => {
  const isOver = ref(false);
  const open = async (list: FileList | null | undefined): Promise<void> => {
    const files = [...(list ?? [])];
    if (files.length === 0) return;
    // Without a database, such as in private windows, the file is chosen again in the studio.
    await handOver(files).catch(() => {});
    location.href = withBase("/studio/#open");
  };
  return () =>
    h(
      "div",
      {
        class: ["drop-zone", { over: isOver.value }],
        role: "group",
        "aria-label": "Open a model",
        onDragover: (event: DragEvent) => {
          event.preventDefault();
          isOver.value = true;
        },
        onDragleave: () => {
          isOver.value = false;
        },
        onDrop: (event: DragEvent) => {
          event.preventDefault();
          isOver.value = false;
          void open(event.dataTransfer?.files);
        },
      },
      [
        h("p", { class: "drop-title" }, "Drop an ONNX model here"),
        h("label", { class: "drop-button" }, [
          "Choose a file",
          h("input", {
            type: "file",
            multiple: true,
            accept: ".onnx,.onnx_data,.data",
            onChange: (event: Event) => void open((event.target as HTMLInputElement).files),
          }),
        ]),
        h("p", { class: "drop-note" }, [
          "It stays in your browser: nothing is uploaded. Or ",
          h("a", { href: withBase("/studio/"), target: "_self" }, "try it in the browser"),
          " with an example.",
        ]),
      ],
    );
});
