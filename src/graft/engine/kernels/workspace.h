// Scratch memory that a thread keeps between calls.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

// Memory aligned to a cache line. It stays with its thread for the next call until release_workspace() frees it.
struct Workspace {
    std::vector<char> bytes;

    Workspace() { of_thread().push_back(this); }
    static std::vector<Workspace*>& of_thread() {
        static thread_local std::vector<Workspace*> all;
        return all;
    }
    // Uninitialized memory for `count` numbers, valid until the next request.
    template <class T>
    T* get(size_t count) {
        if (bytes.size() < count * sizeof(T) + 64) {
            std::vector<char>().swap(bytes);
            bytes.resize(count * sizeof(T) + 64);
        }
        return (T*)(((uintptr_t)bytes.data() + 63) & ~(uintptr_t)63);
    }
};
