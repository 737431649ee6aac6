// docker-compose.yml cannot be run where the tests run, but it can be read: services that wait for
// each other in a circle, a health check of a program that does not exist, a setting that the
// program refuses or a library that the image lacks would only be noticed by the first user.
#include "integration/process.h"
#include "integration/temp_dir.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <iterator>
#include <set>
#include <sstream>

namespace twofold::integration {
namespace {

class Deployment : public ::testing::Test {
protected:
    YAML::Node compose_ = YAML::LoadFile("docker-compose.yml");

    [[nodiscard]] YAML::Node service(const std::string& name) { return compose_["services"][name]; }

    // yaml-cpp leaves the merge key "<<" to its users.
    [[nodiscard]] YAML::Node member(const std::string& name, const std::string& key) {
        YAML::Node own = service(name)[key];
        return own ? own : service(name)["<<"][key];
    }

    // The file of the repository that a service sees by this path.
    [[nodiscard]] std::string file_mounted_at(const std::string& name, const std::string& path) {
        for (const YAML::Node& volume : service(name)["volumes"]) {
            auto text = volume.as<std::string>();
            std::size_t at = text.find(":" + path + ":");
            if (at != std::string::npos) return text.substr(0, at);
        }
        return path;
    }

    // What the program says to the settings of a service; it cannot do any harm with them here.
    [[nodiscard]] Finished run_with_settings(const std::string& name) {
        std::map<std::string, std::string> environment;
        for (const auto& entry : service(name)["environment"]) {
            environment[entry.first.as<std::string>()] = entry.second.as<std::string>();
        }
        environment["TWOFOLD_LISTEN"] = "192.0.2.1:1";  // fails after the settings were read
        environment["TWOFOLD_DATA_DIR"] = "/proc/no-log-here";
        std::vector<std::string> arguments;
        for (const YAML::Node& word : member(name, "command")) {
            auto text = word.as<std::string>();
            arguments.push_back(text.starts_with('/') ? file_mounted_at(name, text) : text);
        }
        auto done = run_program(sibling_program("twofold"), arguments, environment);
        return done.has_value() ? done.value() : Finished{{}, done.error().text()};
    }
};

TEST_F(Deployment, EveryServiceIsThereAndChecked) {
    std::set<std::string> names;
    for (const auto& entry : compose_["services"]) names.insert(entry.first.as<std::string>());
    EXPECT_EQ(names,
              (std::set<std::string>{"coordinator", "orders", "stock", "orders-db", "stock-db"}));
    for (const std::string& name : names) {
        EXPECT_TRUE(member(name, "image")) << name;
        EXPECT_TRUE(member(name, "healthcheck")["test"]) << name;
        EXPECT_TRUE(member(name, "restart")) << name;
    }
    for (const char* name : {"coordinator", "orders", "stock"}) {
        YAML::Node test = member(name, "healthcheck")["test"];
        EXPECT_EQ(test[1].as<std::string>(), "twofold") << name;
        EXPECT_EQ(test[2].as<std::string>(), "healthcheck") << name;
        EXPECT_TRUE(member(name, "read_only").as<bool>()) << name;
    }
}

TEST_F(Deployment, WaitsForHealthWithoutACircle) {
    EXPECT_EQ(service("coordinator")["depends_on"]["orders"]["condition"].as<std::string>(),
              "service_healthy");
    EXPECT_EQ(service("coordinator")["depends_on"]["stock"]["condition"].as<std::string>(),
              "service_healthy");
    for (const char* name : {"orders", "stock"}) {
        YAML::Node waits = service(name)["depends_on"];
        EXPECT_EQ(waits.size(), 1U);
        EXPECT_EQ(waits[std::string(name) + "-db"]["condition"].as<std::string>(),
                  "service_healthy");
        EXPECT_FALSE(service(std::string(name) + "-db")["depends_on"]);
    }
}

TEST_F(Deployment, DatabasesCanPrepare) {
    for (const char* name : {"orders-db", "stock-db"}) {
        std::string command = YAML::Dump(member(name, "command"));
        EXPECT_NE(command.find("max_prepared_transactions=64"), std::string::npos) << name;
    }
}

TEST_F(Deployment, VolumesNetworksAndFilesExist) {
    for (const auto& entry : compose_["services"]) {
        auto name = entry.first.as<std::string>();
        for (const YAML::Node& network : member(name, "networks")) {
            EXPECT_TRUE(compose_["networks"][network.as<std::string>()]) << name;
        }
        for (const YAML::Node& volume : service(name)["volumes"]) {
            auto source = volume.as<std::string>();
            source.resize(source.find(':'));
            bool named = static_cast<bool>(compose_["volumes"][source]);
            EXPECT_TRUE(named || std::filesystem::exists(source)) << source;
        }
    }
    EXPECT_TRUE(
        std::filesystem::exists(compose_["x-twofold"]["build"]["dockerfile"].as<std::string>()));
    // Only loopback of the host sees the coordinator; the rest is seen by nobody.
    EXPECT_EQ(service("coordinator")["ports"][0].as<std::string>(), "127.0.0.1:8420:8420");
    EXPECT_TRUE(compose_["networks"]["inside"]["internal"].as<bool>());
}

TEST_F(Deployment, TheProgramAcceptsTheSettings) {
    for (const char* name : {"coordinator", "orders", "stock"}) {
        Finished done = run_with_settings(name);
        EXPECT_TRUE(done.status.exited_with(1)) << name << ": " << done.output;
    }
}

TEST_F(Deployment, ImageRunsWithoutPrivileges) {
    std::string text = read_file("deploy/Dockerfile");
    EXPECT_NE(text.find("\nUSER 10001"), std::string::npos);
    EXPECT_NE(text.find("\nENTRYPOINT [\"/usr/local/bin/twofold\"]"), std::string::npos);
    EXPECT_NE(text.find("\nVOLUME /var/lib/twofold"), std::string::npos);
}

// The packages that hold the libraries which the program itself asks for. Asked of the dynamic
// linker's names, not of what is installed: a package that only the build needs hides nothing.
[[nodiscard]] std::set<std::string> packages_of_the_program() {
    static constexpr const char* kScript =
        "for name in $(objdump -p \"$0\" | awk '/NEEDED/ {print $2}'); do"
        "  path=$(ldd \"$0\" | awk -v name=\"$name\" '$1 == name {print $3}');"
        "  [ -z \"$path\" ] || dpkg-query -S \"$(realpath \"$path\")\" || dpkg-query -S \"$path\""
        "    || echo \"$name-of-no-package\";"
        "done 2>/dev/null | cut -d: -f1";
    auto done = run_program("/bin/sh", {"-c", kScript, sibling_program("twofold")});
    EXPECT_TRUE(done.has_value() && done.value().status.exited_with(0));
    std::istringstream names(done.has_value() ? done.value().output : "");
    return {std::istream_iterator<std::string>(names), {}};
}

TEST_F(Deployment, ImageHasTheLibrariesOfTheProgram) {
    std::set<std::string> packages = packages_of_the_program();
    EXPECT_GE(packages.size(), 8U);
    for (const char* always : {"libc6", "libgcc-s1", "libstdc++6"}) packages.erase(always);
    std::string text = read_file("deploy/Dockerfile");
    text = text.substr(text.rfind("\nFROM "));
    for (const std::string& package : packages) {
        EXPECT_NE(text.find(" " + package + " "), std::string::npos) << package;
    }
}

}  // namespace
}  // namespace twofold::integration
