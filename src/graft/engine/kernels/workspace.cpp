#include "workspace.h"

#include "simd.h"

// Frees what the calling thread keeps between calls. Returns the number of bytes.
EXPORT int64_t release_workspace() {
    int64_t released = 0;
    for (Workspace* workspace : Workspace::of_thread()) {
        released += (int64_t)workspace->bytes.size();
        std::vector<char>().swap(workspace->bytes);
    }
    return released;
}
