# cmake -DINPUT=file -DOUTPUT=file.cc -DNAME=name -P embed.cmake
# Writes a C++ file with the bytes of INPUT as the array kBytes_NAME and its view, so that the program needs no file.
file(READ "${INPUT}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n"
    bytes "${bytes}")
file(WRITE "${OUTPUT}"
"// Made from ${NAME}.openapi.json by contract/embed.cmake.
#include \"contract/documents.h\"

namespace twofold::contract {

namespace {
constexpr unsigned char kBytes[] = {
${bytes}};
}  // namespace

std::string_view ${NAME}_document() noexcept {
    return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)};
}

}  // namespace twofold::contract
")
