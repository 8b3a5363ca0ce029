#include "simd.h"

// Ends what this thread keeps from call to call; gives how many bytes that was.
EXPORT int64_t give_back() {
    int64_t given = 0;
    for (Room* room : Room::all()) {
        given += (int64_t)room->bytes.size();
        std::vector<char>().swap(room->bytes);
    }
    return given;
}
